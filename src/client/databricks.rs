//! The control plane of a Databricks workspace: models, endpoints, and who may ask. One method a question; errors by class.

pub mod auth;
pub mod error;
pub mod wait;

use super::control::caller::{Caller, Cargo, Reply};
use crate::protocol::databricks::endpoint::{CreateEndpoint, Endpoint, EndpointConfig, EndpointList, Logs, Tag};
use crate::protocol::databricks::gateway::AiGateway;
use crate::protocol::databricks::optimization::OptimizationInfo;
use crate::protocol::databricks::refusal::Refusal;
use crate::protocol::databricks::version::{self, ModelVersion, VersionPage, VersionStatus};
use crate::protocol::databricks::{Product, path};
use crate::scenario::target::{Auth, Target, Tls};
use auth::token::Tokens;
use auth::{Given, Login};
use error::{Asked, Error, Refused};
use http::Method;
use serde::de::DeserializeOwned;
use serde_json::{Value, json};
use std::path::{Path, PathBuf};
use std::time::Duration;

/// Times that a request is sent at most, where the server asks to come again.
const ATTEMPTS: u32 = 4;
/// Wait before coming again where the server does not say how long.
const UNTOLD_WAIT: Duration = Duration::from_secs(1);
/// Longest wait before coming again; a server that asks for more is told to the user.
const LONGEST_WAIT: Duration = Duration::from_mins(1);
/// Pages of versions, at most: 100,000 versions of a model.
const MAX_PAGES: usize = 1000;

/// How to get to the workspace.
#[derive(Clone, Debug, Default)]
pub struct Way {
    /// A certificate authority to trust beside the system's, a PEM file.
    pub ca: Option<PathBuf>,
    /// URL of a proxy. None is taken from the environment.
    pub proxy: Option<String>,
}

/// Which version of a model is meant.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum WhichVersion {
    /// This one.
    Number(u64),
    /// The highest that is ready.
    Latest,
    /// The one that an alias points at.
    Alias(String),
}

impl WhichVersion {
    /// `3`, `latest` or `@champion`.
    pub fn parse(text: &str) -> Option<Self> {
        match text.trim() {
            "latest" => Some(Self::Latest),
            alias if alias.len() > 1 && alias.starts_with('@') => Some(Self::Alias(alias[1..].to_owned())),
            number => number.parse().ok().filter(|n| *n > 0).map(Self::Number),
        }
    }
}

/// A workspace, asked on behalf of one login.
pub struct Workspace {
    base: String,
    caller: Caller,
    tokens: Tokens,
}

impl Workspace {
    /// A workspace; nothing is sent yet.
    pub fn new(login: Login, way: &Way) -> Result<Self, Error> {
        let trust = Tls { ca: way.ca.clone(), ..Tls::default() };
        Self::with_trust(login, &trust, Path::new(""), way.proxy.as_deref())
    }

    /// The same with the trust of a scenario.
    pub fn with_trust(login: Login, trust: &Tls, base_dir: &Path, proxy: Option<&str>) -> Result<Self, Error> {
        let caller = Caller::new(&login.host, trust, base_dir, proxy)?;
        Ok(Self { base: login.host.clone(), tokens: Tokens::new(login, &caller), caller })
    }

    /// The workspace of a target whose login is Databricks'; none for any other target. `env` looks up environment variables.
    pub fn of_target(target: &Target, base_dir: &Path, env: &dyn Fn(&str) -> Option<String>) -> Result<Option<Self>, Error> {
        let Auth::Databricks(login) = &target.auth else { return Ok(None) };
        let config_file = login.config_file.as_ref().map(|file| if file.starts_with("~") { file.clone() } else { base_dir.join(file) });
        let given = Given { host: target.url.clone(), profile: login.profile.clone(), config_file, token: None };
        Self::with_trust(auth::resolve(&given, env)?, &target.tls, base_dir, None).map(Some)
    }

    /// Base URL of the workspace.
    #[must_use]
    pub fn host(&self) -> &str {
        &self.base
    }

    /// Where its bearer tokens come from.
    #[must_use]
    pub const fn tokens(&self) -> &Tokens {
        &self.tokens
    }

    /// What one chunk of `model` in `version` is. A model that is refused is an `Ok` with `optimizable` false and the server's own message.
    pub async fn optimization_info(&self, model: &str, version: u64) -> Result<OptimizationInfo, Error> {
        let path = path::optimization_info(model, &version.to_string());
        match self.ask(Method::GET, &path, None, Asked::Model).await {
            // The refusal of a model comes in the body of a 400, or in that of a 200.
            Err(Error::Refused(refused)) if refused.status == 400 && !refused.refusal.message.is_empty() => {
                let Refusal { error_code, message } = refused.refusal;
                Ok(OptimizationInfo { error_code: Some(error_code), message: Some(message), ..OptimizationInfo::default() })
            }
            Err(error) => Err(error),
            Ok(reply) => read(&reply, "a JSON object with optimizable and a chunk size"),
        }
    }

    /// All versions of a model, all pages read. They come in no order.
    pub async fn versions(&self, model: &str) -> Result<Vec<ModelVersion>, Error> {
        let mut all = Vec::new();
        let mut next: Option<String> = None;
        for _ in 0..MAX_PAGES {
            let reply = self.ask(Method::GET, &path::versions(model, next.as_deref()), None, Asked::Model).await?;
            let page: VersionPage = read(&reply, "a JSON object with model_versions")?;
            let following = page.next().map(str::to_owned);
            all.extend(page.model_versions);
            if following.is_none() {
                return Ok(all);
            }
            if following == next {
                return Err(Error::unexpected(&reply.url, "the page points at itself".to_owned(), "another next_page_token on every page"));
            }
            next = following;
        }
        Ok(all)
    }

    /// The number of the version that is meant.
    pub async fn version(&self, model: &str, which: &WhichVersion) -> Result<u64, Error> {
        match which {
            WhichVersion::Number(number) => Ok(*number),
            WhichVersion::Latest => {
                let versions = self.versions(model).await?;
                let is_pending = versions.iter().filter(|v| v.status == VersionStatus::PendingRegistration).count();
                version::latest_ready(&versions).ok_or_else(|| Error::NoReadyVersion {
                    model: model.to_owned(),
                    versions: versions.len(),
                    pending: is_pending,
                })
            }
            WhichVersion::Alias(alias) => {
                let reply = self.ask(Method::GET, &path::alias(model, alias), None, Asked::Model).await?;
                read::<ModelVersion>(&reply, "a JSON object with version").map(|found| found.version)
            }
        }
    }

    /// Creates an endpoint. The answer comes at once; the endpoint is ready later (see [`wait`]).
    pub async fn create(&self, product: Product, body: &CreateEndpoint) -> Result<Endpoint, Error> {
        let reply = self.ask(Method::POST, path::create(product), Some(&json!(body)), Asked::Creation).await?;
        read(&reply, "the endpoint as a JSON object")
    }

    /// Replaces the whole configuration. What served before serves on until the new one is ready.
    pub async fn update(&self, product: Product, name: &str, config: &EndpointConfig) -> Result<Endpoint, Error> {
        let reply = self.ask(Method::PUT, &path::config(product, name), Some(&config.update_body(product)), Asked::Endpoint).await?;
        read(&reply, "the endpoint as a JSON object")
    }

    /// One endpoint as it stands.
    pub async fn endpoint(&self, name: &str) -> Result<Endpoint, Error> {
        let reply = self.ask(Method::GET, &path::endpoint(name), None, Asked::Endpoint).await?;
        read(&reply, "the endpoint as a JSON object")
    }

    /// All endpoints that the caller may see.
    pub async fn list(&self) -> Result<Vec<Endpoint>, Error> {
        let reply = self.ask(Method::GET, path::ENDPOINTS, None, Asked::Workspace).await?;
        read::<EndpointList>(&reply, "a JSON object with endpoints").map(|list| list.endpoints)
    }

    /// Deletes an endpoint.
    pub async fn delete(&self, name: &str) -> Result<(), Error> {
        self.ask(Method::DELETE, &path::endpoint(name), None, Asked::Endpoint).await.map(|_| ())
    }

    /// Adds tags, or changes their values.
    pub async fn add_tags(&self, name: &str, tags: &[Tag]) -> Result<(), Error> {
        self.ask(Method::PATCH, &path::tags(name), Some(&json!({ "add_tags": tags })), Asked::Endpoint).await.map(|_| ())
    }

    /// Replaces the gateway.
    pub async fn put_gateway(&self, name: &str, gateway: &AiGateway) -> Result<(), Error> {
        self.ask(Method::PUT, &path::ai_gateway(name), Some(&json!(gateway)), Asked::Endpoint).await.map(|_| ())
    }

    /// The log of the build of one entity.
    pub async fn build_logs(&self, name: &str, served_entity: &str) -> Result<String, Error> {
        let reply = self.ask(Method::GET, &path::build_logs(name, served_entity), None, Asked::Endpoint).await?;
        read::<Logs>(&reply, "a JSON object with logs").map(|logs| logs.logs)
    }

    /// What the endpoint measures of itself, as text (see [`crate::protocol::databricks::metrics`]).
    pub async fn metrics(&self, name: &str) -> Result<String, Error> {
        let reply = self.ask(Method::GET, &path::metrics(name), None, Asked::Endpoint).await?;
        Ok(String::from_utf8_lossy(&reply.body).into_owned())
    }

    /// The reply of a request that was accepted. One that was throttled was not carried out, so it is sent again after the time that the server asks for; so is a question that met a server out
    /// of breath. A change never is: nobody knows whether it was carried out.
    async fn ask(&self, method: Method, path: &str, body: Option<&Value>, asked: Asked) -> Result<Reply, Error> {
        let mut attempt = 1;
        loop {
            let reply = self.send(method.clone(), path, body).await?;
            let status = reply.status.as_u16();
            if (200..300).contains(&status) && !is_html(&reply) {
                return Ok(reply);
            }
            let may_again = status == 429 || status == 503 && method == Method::GET;
            let wait = retry_after(&reply).unwrap_or(UNTOLD_WAIT);
            if !may_again || attempt >= ATTEMPTS || wait > LONGEST_WAIT {
                return Err(self.refused(&method, &reply, asked));
            }
            attempt += 1;
            tokio::time::sleep(wait).await;
        }
    }

    async fn send(&self, method: Method, path: &str, body: Option<&Value>) -> Result<Reply, Error> {
        let token = self.tokens.bearer().await?;
        let number = self.tokens.login().workspace_id.as_deref();
        let headers: Vec<(&'static str, &str)> = number.map(|number| ("x-databricks-workspace-id", number)).into_iter().collect();
        let cargo = body.map_or(Cargo::Empty, Cargo::Json);
        Ok(self.caller.with_token(token.as_ref()).send(method, format!("{}{path}", self.base), &headers, cargo).await?)
    }

    fn refused(&self, method: &Method, reply: &Reply, asked: Asked) -> Error {
        let refusal = Refusal::read(&reply.body);
        let class = error::Class::of(reply.status.as_u16(), &refusal, is_html(reply));
        let login = match &self.tokens.login().how {
            auth::How::Nothing => "no token was sent".to_owned(),
            _ => format!("the token came from {}", self.tokens.login().from),
        };
        Error::Refused(Box::new(Refused {
            method: method.to_string(),
            url: reply.url.clone(),
            status: reply.status.as_u16(),
            class,
            retry_after: retry_after(reply),
            hint: class.hint(asked, &refusal, &login),
            refusal,
        }))
    }
}

fn read<T: DeserializeOwned>(reply: &Reply, expected: &'static str) -> Result<T, Error> {
    serde_json::from_slice(&reply.body).map_err(|fault| Error::unexpected(&reply.url, format!("{fault}; received: {}", reply.words()), expected))
}

/// Whole seconds of `retry-after`.
fn retry_after(reply: &Reply) -> Option<Duration> {
    reply.headers.get(http::header::RETRY_AFTER)?.to_str().ok()?.trim().parse().ok().map(Duration::from_secs)
}

/// A page for people, as a proxy, a login page or a gateway sends it.
fn is_html(reply: &Reply) -> bool {
    let kind = reply.headers.get(http::header::CONTENT_TYPE).and_then(|kind| kind.to_str().ok());
    kind.is_some_and(|kind| kind.to_ascii_lowercase().contains("text/html")) || reply.body.trim_ascii_start().starts_with(b"<")
}
