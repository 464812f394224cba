//! The OAuth paths of the emulated workspace: discovery and client credentials.

use super::refusal::json_response;
use super::routes::Shared;
use axum::Router;
use axum::body::{Body, Bytes};
use axum::extract::State;
use axum::http::{HeaderMap, Response, StatusCode, header};
use axum::routing::{get, post};
use serde_json::json;

/// The number of the emulated workspace.
const WORKSPACE_ID: &str = "4242424242424242";

/// All paths of host and token discovery.
pub(super) fn router() -> Router<Shared> {
    Router::new()
        .route("/.well-known/databricks-config", get(host_metadata))
        .route("/oidc/.well-known/oauth-authorization-server", get(discovery))
        .route("/oidc/v1/token", post(token))
}

/// What newer clients ask first: where OAuth is, and which workspace this is.
async fn host_metadata(headers: HeaderMap) -> Response<Body> {
    json_response(StatusCode::OK, &json!({ "oidc_endpoint": format!("{}/oidc", origin(&headers)), "workspace_id": WORKSPACE_ID }))
}

/// Scheme and host by which the client came.
fn origin(headers: &HeaderMap) -> String {
    let host = headers.get(header::HOST).and_then(|host| host.to_str().ok()).unwrap_or("127.0.0.1");
    format!("http://{host}")
}

/// Where tokens are had, with the host by which the client came.
async fn discovery(headers: HeaderMap) -> Response<Body> {
    let at = |path: &str| format!("{}/oidc{path}", origin(&headers));
    let document = json!({
        "issuer": at(""), "authorization_endpoint": at("/v1/authorize"), "token_endpoint": at("/v1/token"),
        "grant_types_supported": ["client_credentials"], "scopes_supported": ["all-apis"],
        "token_endpoint_auth_methods_supported": ["client_secret_basic", "client_secret_post"],
    });
    json_response(StatusCode::OK, &document)
}

/// A token for `grant_type=client_credentials`; the client comes by HTTP Basic or in the form.
async fn token(State(shared): State<Shared>, headers: HeaderMap, body: Bytes) -> Response<Body> {
    let form = std::str::from_utf8(&body).unwrap_or("");
    let field = |key: &str| form.split('&').find_map(|pair| pair.strip_prefix(key)?.strip_prefix('=')).map(decoded);
    let basic = headers.get(header::AUTHORIZATION).and_then(|v| v.to_str().ok()?.strip_prefix("Basic "));
    let client = match basic.and_then(from_base64).and_then(|bytes| String::from_utf8(bytes).ok()) {
        Some(pair) => pair.split_once(':').map(|(id, secret)| (decoded(id), decoded(secret))),
        None => field("client_id").zip(field("client_secret")),
    };
    let client = client.as_ref().map(|(id, secret)| (id.as_str(), secret.as_str()));
    let mut plane = shared.plane().lock().await;
    match plane.workspace.access().issue(shared.clock().now(), client, field("grant_type").as_deref()) {
        Ok(answer) => json_response(StatusCode::OK, &answer),
        Err(error) => {
            let status = if error == "invalid_client" { StatusCode::UNAUTHORIZED } else { StatusCode::BAD_REQUEST };
            json_response(status, &json!({ "error": error, "error_description": "Client authentication failed" }))
        }
    }
}

/// `application/x-www-form-urlencoded` undone.
fn decoded(text: &str) -> String {
    let (mut bytes, mut rest) = (Vec::with_capacity(text.len()), text.bytes());
    while let Some(byte) = rest.next() {
        bytes.push(match byte {
            b'+' => b' ',
            b'%' => {
                let digits = [rest.next(), rest.next()].map(|digit| digit.and_then(|d| char::from(d).to_digit(16)));
                match digits {
                    [Some(high), Some(low)] => u8::try_from(high * 16 + low).unwrap_or(b'?'),
                    _ => b'?',
                }
            }
            other => other,
        });
    }
    String::from_utf8_lossy(&bytes).into_owned()
}

/// Base64 of RFC 4648 undone; `None` if it is not.
fn from_base64(text: &str) -> Option<Vec<u8>> {
    const ALPHABET: &[u8; 64] = b"ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789+/";
    let (mut bytes, mut held, mut bits) = (Vec::new(), 0_u32, 0);
    for c in text.trim().trim_end_matches('=').bytes() {
        held = held << 6 | u32::try_from(ALPHABET.iter().position(|a| *a == c)?).ok()?;
        bits += 6;
        if bits >= 8 {
            bits -= 8;
            bytes.push(u8::try_from(held >> bits & 0xFF).ok()?);
            held &= (1 << bits) - 1;
        }
    }
    Some(bytes)
}

#[cfg(test)]
mod tests {
    use super::*;

    /// The test vectors of RFC 4648, section 10.
    #[test]
    fn base64_is_that_of_the_standard() {
        for (text, bytes) in
            [("", ""), ("Zg==", "f"), ("Zm8=", "fo"), ("Zm9v", "foo"), ("Zm9vYg==", "foob"), ("Zm9vYmE=", "fooba"), ("Zm9vYmFy", "foobar")]
        {
            assert_eq!(from_base64(text).unwrap(), bytes.as_bytes());
        }
        assert_eq!(from_base64("a-b_"), None);
    }

    #[test]
    fn forms_are_decoded() {
        assert_eq!(decoded("a+b%3Dc%2f"), "a b=c/");
        assert_eq!(decoded("100%"), "100?");
    }
}
