//! `Access`: who calls, by which token, and what was granted to whom.

use super::fault::Fault;
use crate::base::time::Nanos;
use crate::scenario::workspace::{Principal, Workspace as Spec};
use serde_json::{Value, json};
use std::collections::BTreeMap;

/// Tokens remembered at most; then the oldest is forgotten.
const MAX_TOKENS: usize = 10_000;

/// What may be done with an endpoint; each includes those before it.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Level {
    /// `CAN_VIEW`
    View,
    /// `CAN_QUERY`
    Query,
    /// `CAN_MANAGE`
    Manage,
}

impl Level {
    /// As the API says it.
    #[must_use]
    pub fn word(self) -> &'static str {
        match self {
            Self::View => "CAN_VIEW",
            Self::Query => "CAN_QUERY",
            Self::Manage => "CAN_MANAGE",
        }
    }

    fn of(word: &str) -> Option<Self> {
        [Self::View, Self::Query, Self::Manage].into_iter().find(|level| level.word() == word)
    }
}

/// Who calls.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Caller {
    /// User name or application id.
    pub name: String,
    /// May do everything.
    pub admin: bool,
}

/// Known principals and the OAuth tokens that were issued.
#[derive(Debug)]
pub struct Access {
    principals: Vec<Principal>,
    lifetime: Nanos,
    issued: BTreeMap<u64, Issued>,
    next: u64,
}

#[derive(Debug)]
struct Issued {
    to: String,
    until: Nanos,
}

/// What OAuth tokens begin with.
const ISSUED: &str = "oauth-";

impl Access {
    pub(super) fn new(spec: &Spec) -> Self {
        Self { principals: spec.principals.clone(), lifetime: spec.token_lifetime.nanos(), issued: BTreeMap::new(), next: 0 }
    }

    /// Who sends this bearer token. Without known principals it is an administrator, but for an OAuth token that has expired.
    pub fn caller(&self, now: Nanos, token: Option<&str>) -> Result<Caller, Fault> {
        if let Some(number) = token.and_then(|t| t.strip_prefix(ISSUED)?.parse::<u64>().ok()) {
            let issued = self.issued.get(&number).ok_or_else(|| Fault::denied("Invalid access token."))?;
            if now >= issued.until {
                return Err(Fault::nobody("The access token has expired."));
            }
            return Ok(self.named(&issued.to));
        }
        if self.principals.is_empty() {
            return Ok(Caller { name: "emulation".to_owned(), admin: true });
        }
        let token = token.ok_or_else(|| Fault::nobody("Credential was not sent or was of an unsupported type for this API."))?;
        let known = self.principals.iter().find(|p| token.strip_prefix("dapi-") == Some(&p.name));
        known.map(caller_of).ok_or_else(|| Fault::denied("Invalid access token."))
    }

    fn named(&self, name: &str) -> Caller {
        let known = self.principals.iter().find(|p| p.name == name).map(caller_of);
        known.unwrap_or_else(|| Caller { name: name.to_owned(), admin: self.principals.is_empty() })
    }

    /// The answer of the token endpoint, or the OAuth error `invalid_client` or `unsupported_grant_type`.
    pub fn issue(&mut self, now: Nanos, client: Option<(&str, &str)>, grant: Option<&str>) -> Result<Value, &'static str> {
        if grant != Some("client_credentials") {
            return Err("unsupported_grant_type");
        }
        let (id, secret) = client.filter(|(id, secret)| !id.is_empty() && !secret.is_empty()).ok_or("invalid_client")?;
        let known = |p: &Principal| p.name == id && secret.strip_prefix("dose-") == Some(id);
        if !self.principals.is_empty() && !self.principals.iter().any(known) {
            return Err("invalid_client");
        }
        self.next += 1;
        self.issued.insert(self.next, Issued { to: id.to_owned(), until: now + self.lifetime });
        while self.issued.len() > MAX_TOKENS {
            self.issued.pop_first();
        }
        let seconds = self.lifetime.0 / 1_000_000_000;
        Ok(json!({ "access_token": format!("{ISSUED}{}", self.next), "token_type": "Bearer", "expires_in": seconds, "scope": "all-apis" }))
    }
}

fn caller_of(principal: &Principal) -> Caller {
    Caller { name: principal.name.clone(), admin: principal.admin }
}

/// The permissions document of an endpoint.
pub(super) fn document(id: &str, creator: &str, grants: &BTreeMap<String, Level>) -> Value {
    let entry = |name: &str, level: Level| {
        let kind = if name.contains('@') || name == "emulation" { "user_name" } else { "service_principal_name" };
        json!({ kind: name, "display_name": name, "all_permissions": [{ "permission_level": level.word(), "inherited": false }] })
    };
    let others = grants.iter().filter(|(name, _)| *name != creator).map(|(name, level)| entry(name, *level));
    let list: Vec<Value> = [entry(creator, Level::Manage)].into_iter().chain(others).collect();
    json!({ "object_id": format!("/serving-endpoints/{id}"), "object_type": "serving-endpoint", "access_control_list": list })
}

/// Reads `access_control_list`.
pub(super) fn read_grants(body: &Value) -> Result<BTreeMap<String, Level>, Fault> {
    let list = body.get("access_control_list").and_then(Value::as_array).map(Vec::as_slice).unwrap_or_default();
    let grant = |entry: &Value| {
        let keys = ["user_name", "group_name", "service_principal_name"];
        let name =
            keys.iter().find_map(|key| entry.get(*key)?.as_str()).ok_or_else(|| Fault::invalid("An access control entry must name a principal."))?;
        let word = entry.get("permission_level").and_then(Value::as_str).unwrap_or("");
        let level = Level::of(word).ok_or_else(|| Fault::invalid(format!("'{word}' is not a permission level of a serving endpoint.")))?;
        Ok((name.to_owned(), level))
    };
    list.iter().map(grant).collect()
}
