//! Bearer tokens of a login: the one that was given, or short-lived ones by OAuth (client credentials), renewed long before they end.

use super::{How, Login};
use crate::client::auth::Secret;
use crate::client::control::caller::{self, Caller, Cargo};
use crate::client::origin::Origin;
use crate::protocol::databricks::refusal::Refusal;
use http::{Method, StatusCode};
use serde::Deserialize;
use std::sync::Mutex;
use std::time::Duration;
use tokio::time::Instant;

/// Where a workspace tells where tokens are had (RFC 8414).
const DISCOVERY: &str = "/oidc/.well-known/oauth-authorization-server";
/// What is asked for (RFC 6749, section 4.4).
const FORM: &str = "grant_type=client_credentials&scope=all-apis";
/// Life of a token whose answer does not say: short, so that it is asked for again soon.
const UNTOLD_LIFE: Duration = Duration::from_mins(5);
/// A token is renewed this long before its end, or at half of its life if that is shorter than twice this. Azure refuses tokens in their last 30 s.
const EARLY: Duration = Duration::from_mins(5);

/// Why there is no token.
#[derive(Debug, thiserror::Error)]
pub enum Error {
    /// No usable answer.
    #[error(transparent)]
    Call(#[from] caller::Error),
    /// The workspace refuses the service principal.
    #[error(
        "{url}: status {status}: {message}\n  expected a token for the service principal {client_id} ({from})\nhint: look at client_id and client_secret; secrets end after two years at most, and the principal must be assigned to this workspace"
    )]
    Refused {
        /// Where to.
        url: String,
        /// The status.
        status: u16,
        /// What the workspace said.
        message: String,
        /// Who asked.
        client_id: String,
        /// Where its secret comes from.
        from: String,
    },
    /// The workspace sends its clients elsewhere with their secret.
    #[error(
        "{url}: tokens are said to be had at {elsewhere}\n  expected an address of the same host: the client secret goes nowhere else\nhint: look at the host; it must be a workspace's own URL"
    )]
    Elsewhere {
        /// Where it was said.
        url: String,
        /// Where it points.
        elsewhere: String,
    },
}

/// A token that has just been had.
#[derive(Clone, Debug)]
pub struct Fresh {
    /// The token.
    pub token: Secret,
    /// When it is time for the next one. `None`: never.
    pub renew_after: Option<Duration>,
}

/// A source of tokens for one login.
pub struct Tokens {
    login: Login,
    caller: Caller,
    held: Mutex<Option<(Secret, Option<Instant>)>>,
}

#[derive(Deserialize)]
struct Discovered {
    token_endpoint: String,
}

#[derive(Deserialize)]
struct Answer {
    access_token: String,
    #[serde(default)]
    expires_in: Option<u64>,
}

impl Tokens {
    /// Tokens of `login`, had by `caller`.
    pub(crate) fn new(login: Login, caller: &Caller) -> Self {
        Self { login, caller: caller.with_token(None), held: Mutex::new(None) }
    }

    /// The login.
    pub(crate) const fn login(&self) -> &Login {
        &self.login
    }

    /// A token that is good for the next request; none where none is asked for.
    pub async fn bearer(&self) -> Result<Option<Secret>, Error> {
        let held = self.held.lock().ok().and_then(|held| held.clone());
        if let Some((token, renew_at)) = held
            && renew_at.is_none_or(|at| Instant::now() < at)
        {
            return Ok(Some(token));
        }
        Ok(self.renew().await?.map(|fresh| fresh.token))
    }

    /// When it is time for the next token. `None`: the one that is held stays good, or none was had.
    #[must_use]
    pub fn due_in(&self) -> Option<Duration> {
        let held = self.held.lock().ok()?;
        held.as_ref()?.1.map(|at| at.saturating_duration_since(Instant::now()))
    }

    /// A new token, kept for the requests to come; none where none is asked for.
    pub async fn renew(&self) -> Result<Option<Fresh>, Error> {
        let asked = Instant::now();
        let fresh = match &self.login.how {
            How::Nothing => return Ok(None),
            How::Token(token) => Fresh { token: token.clone(), renew_after: None },
            How::Machine { client_id, client_secret } => self.by_oauth(client_id, client_secret).await?,
        };
        if let Ok(mut held) = self.held.lock() {
            *held = Some((fresh.token.clone(), fresh.renew_after.map(|after| asked + after)));
        }
        Ok(Some(fresh))
    }

    async fn by_oauth(&self, client_id: &str, client_secret: &Secret) -> Result<Fresh, Error> {
        let place = self.token_endpoint(client_id).await?;
        let cargo = Cargo::Form { form: FORM, user: client_id, password: client_secret };
        let reply = self.caller.send(Method::POST, place, &[], cargo).await?;
        if reply.status != StatusCode::OK {
            return Err(self.refused(client_id, &reply));
        }
        let answer: Answer = serde_json::from_slice(&reply.body).map_err(|fault| caller::Error::Unexpected {
            url: reply.url.clone(),
            // The answer is not shown: it may hold a token.
            reason: format!("{:?} at line {}, column {}", fault.classify(), fault.line(), fault.column()),
            expected: "a JSON object with access_token and expires_in",
        })?;
        let life = answer.expires_in.map_or(UNTOLD_LIFE, Duration::from_secs);
        Ok(Fresh { token: Secret::new(answer.access_token), renew_after: Some(renew_after(life)) })
    }

    async fn token_endpoint(&self, client_id: &str) -> Result<String, Error> {
        let reply = self.caller.get(format!("{}{DISCOVERY}", self.login.host)).await?;
        if reply.status != StatusCode::OK {
            return Err(self.refused(client_id, &reply));
        }
        let found: Discovered = serde_json::from_slice(&reply.body).map_err(|fault| caller::Error::Unexpected {
            url: reply.url.clone(),
            reason: format!("{fault}; received: {}", reply.words()),
            expected: "a JSON object with token_endpoint",
        })?;
        let is_same = Origin::parse(&found.token_endpoint).is_ok_and(|there| Origin::parse(&self.login.host).is_ok_and(|here| there == here));
        if is_same { Ok(found.token_endpoint) } else { Err(Error::Elsewhere { url: reply.url, elsewhere: found.token_endpoint }) }
    }

    fn refused(&self, client_id: &str, reply: &caller::Reply) -> Error {
        Error::Refused {
            url: reply.url.clone(),
            status: reply.status.as_u16(),
            message: Refusal::read(&reply.body).words(),
            client_id: client_id.to_owned(),
            from: self.login.from.clone(),
        }
    }
}

/// When a token that lives this long is renewed.
fn renew_after(life: Duration) -> Duration {
    life.saturating_sub(EARLY).max(life / 2)
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    proptest! {
        /// forall lives: a token is renewed inside its life, and from two minutes of life on at least 40 s before its end.
        #[test]
        fn tokens_are_renewed_early(secs in 0u64..1_000_000) {
            let life = Duration::from_secs(secs);
            let after = renew_after(life);
            prop_assert!(after <= life);
            prop_assert!(secs < 120 || life.saturating_sub(after) >= Duration::from_secs(40));
            prop_assert!(secs < 2 || after >= Duration::from_secs(secs / 2));
        }
    }
}
