//! Paths of the control plane below the workspace's host.

use super::Product;
use crate::protocol::openai::percent_encoded;

/// All endpoints: `GET` lists them.
pub const ENDPOINTS: &str = "/api/2.0/serving-endpoints";

/// What one chunk of a model is.
#[must_use]
pub fn optimization_info(model: &str, version: &str) -> String {
    format!("{ENDPOINTS}/get-model-optimization-info/{}/{}", percent_encoded(model), percent_encoded(version))
}

/// One page of the versions of a model; the first without a token.
#[must_use]
pub fn versions(model: &str, page_token: Option<&str>) -> String {
    let path = format!("/api/2.1/unity-catalog/models/{}/versions", percent_encoded(model));
    page_token.map_or_else(|| path.clone(), |token| format!("{path}?page_token={}", percent_encoded(token)))
}

/// The version that an alias points at.
#[must_use]
pub fn alias(model: &str, alias: &str) -> String {
    format!("/api/2.1/unity-catalog/models/{}/aliases/{}", percent_encoded(model), percent_encoded(alias))
}

/// Where an endpoint of `product` is created.
#[must_use]
pub const fn create(product: Product) -> &'static str {
    match product {
        Product::TokenBands => ENDPOINTS,
        Product::ModelUnits => "/api/2.0/serving-endpoints/pt",
    }
}

/// One endpoint.
#[must_use]
pub fn endpoint(name: &str) -> String {
    format!("{ENDPOINTS}/{}", percent_encoded(name))
}

/// Where the whole configuration of an endpoint of `product` is replaced.
#[must_use]
pub fn config(product: Product, name: &str) -> String {
    match product {
        Product::TokenBands => format!("{ENDPOINTS}/{}/config", percent_encoded(name)),
        Product::ModelUnits => format!("{ENDPOINTS}/pt/{}/config", percent_encoded(name)),
    }
}

/// Where tags are added and taken away.
#[must_use]
pub fn tags(name: &str) -> String {
    format!("{}/tags", endpoint(name))
}

/// Where the gateway is replaced.
#[must_use]
pub fn ai_gateway(name: &str) -> String {
    format!("{}/ai-gateway", endpoint(name))
}

/// What the endpoint measures of itself.
#[must_use]
pub fn metrics(name: &str) -> String {
    format!("{}/metrics", endpoint(name))
}

/// The log of the build of one entity.
#[must_use]
pub fn build_logs(name: &str, served_entity: &str) -> String {
    format!("{}/served-models/{}/build-logs", endpoint(name), percent_encoded(served_entity))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_cannot_break_out_of_their_place() {
        assert_eq!(endpoint("a/../b c"), "/api/2.0/serving-endpoints/a%2F..%2Fb%20c");
        assert_eq!(config(Product::ModelUnits, "x"), "/api/2.0/serving-endpoints/pt/x/config");
        assert_eq!(versions("a.b.c", Some("q=1&r")), "/api/2.1/unity-catalog/models/a.b.c/versions?page_token=q%3D1%26r");
    }
}
