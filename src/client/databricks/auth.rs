//! Who asks: workspace and credentials by Databricks' unified rules, from arguments, environment and profile.
//!
//! Arguments win over the environment, the environment wins over the profile, each setting on its own. The profile file is read if a profile is named, or if neither a host nor credentials
//! are set. Two ways to prove who one is, without `auth_type` to choose, are an error. Nothing here can be printed with a secret in it.

mod profile;
pub mod token;

use crate::client::auth::Secret;
use crate::client::origin::{BadUrl, Origin};
use profile::Profiles;
use std::collections::{BTreeMap, BTreeSet};
use std::path::{Path, PathBuf};

/// What the caller says itself, before environment and profile are asked.
#[derive(Clone, Debug, Default)]
pub struct Given {
    /// Workspace: a host or a base URL.
    pub host: Option<String>,
    /// Profile of the configuration file.
    pub profile: Option<String>,
    /// The configuration file [default: `DATABRICKS_CONFIG_FILE`, else `~/.databrickscfg`].
    pub config_file: Option<PathBuf>,
    /// A personal access token.
    pub token: Option<Secret>,
}

/// Where to ask, and as whom.
#[derive(Clone, Debug)]
pub struct Login {
    /// Base URL of the workspace: scheme, host and port.
    pub host: String,
    /// The proof.
    pub how: How,
    /// Where the proof comes from, in words, for messages.
    pub from: String,
    /// Which workspace of a host of several, sent along as `X-Databricks-Workspace-Id`.
    pub workspace_id: Option<String>,
}

impl Login {
    /// A workspace on this machine that asks for no token: an emulation.
    #[must_use]
    pub fn without_token(host: &str) -> Self {
        Self { host: host.trim_end_matches('/').to_owned(), how: How::Nothing, from: "nowhere".to_owned(), workspace_id: None }
    }
}

/// A way to prove who one is.
#[derive(Clone, Debug)]
pub enum How {
    /// None: an emulation on this machine asks for none.
    Nothing,
    /// A personal access token (`pat`).
    Token(Secret),
    /// A service principal that gets tokens by OAuth (`oauth-m2m`).
    Machine {
        /// Its number.
        client_id: String,
        /// Its password.
        client_secret: Secret,
    },
}

/// Why nobody can be asked.
#[derive(Debug, thiserror::Error)]
pub enum Error {
    /// No workspace.
    #[error("no workspace is named\n  expected --url, DATABRICKS_HOST, or a profile in {}\nhint: for example --url https://my-workspace.cloud.databricks.com", file.display())]
    NoHost {
        /// The configuration file.
        file: PathBuf,
    },
    /// The workspace's URL cannot be used.
    #[error("the workspace: {0}")]
    Host(#[from] BadUrl),
    /// The configuration file cannot be read.
    #[error("{}: {source}\n  expected the file that holds profile {profile:?}\nhint: DATABRICKS_CONFIG_FILE names another file", file.display())]
    NoFile {
        /// The file.
        file: PathBuf,
        /// The profile that was looked for.
        profile: String,
        /// What the system said.
        #[source]
        source: std::io::Error,
    },
    /// No such profile.
    #[error("{}: there is no profile {profile:?}\n  expected one of: {known}\nhint: name one with --profile or DATABRICKS_CONFIG_PROFILE", file.display())]
    NoProfile {
        /// The file.
        file: PathBuf,
        /// The profile that was looked for.
        profile: String,
        /// Those that are there.
        known: String,
    },
    /// Nothing proves who asks.
    #[error(
        "{host}: no authorization method is configured\n  expected a token, or client_id and client_secret of a service principal\nhint: export DATABRICKS_TOKEN, or DATABRICKS_CLIENT_ID and DATABRICKS_CLIENT_SECRET, or name a --profile"
    )]
    NoMethod {
        /// The workspace.
        host: String,
    },
    /// More than one way to prove who asks.
    #[error(
        "more than one authorization method is configured: {methods}\n  expected one\nhint: unset one of them, or choose with DATABRICKS_AUTH_TYPE (pat or oauth-m2m)"
    )]
    ManyMethods {
        /// The methods, each with where it comes from.
        methods: String,
    },
    /// A way that this program does not go.
    #[error(
        "authorization method {method:?} ({from}) is not spoken here\n  expected pat (a token) or oauth-m2m (client_id and client_secret)\nhint: `databricks auth token` prints a token that DATABRICKS_TOKEN may hold for its hour"
    )]
    Unspoken {
        /// Which.
        method: String,
        /// Where it was asked for.
        from: String,
    },
    /// Half of a pair.
    #[error(
        "authorization method {method} needs {missing}, which is not set\n  expected both client_id and client_secret, or a token\nhint: export {variable}"
    )]
    Half {
        /// Which method.
        method: &'static str,
        /// What is missing.
        missing: &'static str,
        /// The variable that would hold it.
        variable: &'static str,
    },
    /// The secrets of one workspace would go to another.
    #[error(
        "profile {profile:?} belongs to {theirs}, and the request goes to {ours}\n  expected one workspace\nhint: leave out the URL, or choose the profile of that workspace"
    )]
    OtherHost {
        /// The profile.
        profile: String,
        /// Its host.
        theirs: String,
        /// The host that was named.
        ours: String,
    },
    /// A secret would travel in clear text.
    #[error(
        "{host}: refusing to send a secret without TLS to another machine\n  expected https://\nhint: an emulation on this machine may be http://127.0.0.1:PORT"
    )]
    ClearText {
        /// The workspace.
        host: String,
    },
}

/// A setting: its name in the configuration file, its variable, and the method it belongs to, if any.
type Attribute = (&'static str, &'static str, Option<&'static str>);

/// Settings that are looked at. Those of methods that are not spoken are there to be named, and not to be passed over.
const ATTRIBUTES: [Attribute; 17] = [
    ("host", "DATABRICKS_HOST", None),
    ("workspace_id", "DATABRICKS_WORKSPACE_ID", None),
    ("auth_type", "DATABRICKS_AUTH_TYPE", None),
    ("token", "DATABRICKS_TOKEN", Some("pat")),
    ("client_id", "DATABRICKS_CLIENT_ID", Some("oauth-m2m")),
    ("client_secret", "DATABRICKS_CLIENT_SECRET", Some("oauth-m2m")),
    ("username", "DATABRICKS_USERNAME", Some("basic")),
    ("password", "DATABRICKS_PASSWORD", Some("basic")),
    ("metadata_service_url", "DATABRICKS_METADATA_SERVICE_URL", Some("metadata-service")),
    ("oidc_token_filepath", "DATABRICKS_OIDC_TOKEN_FILEPATH", Some("file-oidc")),
    ("azure_workspace_resource_id", "DATABRICKS_AZURE_RESOURCE_ID", Some("azure")),
    ("azure_client_id", "ARM_CLIENT_ID", Some("azure")),
    ("azure_client_secret", "ARM_CLIENT_SECRET", Some("azure")),
    ("azure_tenant_id", "ARM_TENANT_ID", Some("azure")),
    ("azure_use_msi", "ARM_USE_MSI", Some("azure")),
    ("google_service_account", "DATABRICKS_GOOGLE_SERVICE_ACCOUNT", Some("google")),
    ("google_credentials", "GOOGLE_CREDENTIALS", Some("google")),
];

/// A setting that is there. All of them are kept as secrets; the few that are none are taken out by name.
struct Setting {
    value: Secret,
    from: String,
}

type Settings = BTreeMap<&'static str, Setting>;

/// Where to ask and as whom. `env` looks up environment variables; the file is read here.
pub fn resolve(given: &Given, env: &dyn Fn(&str) -> Option<String>) -> Result<Login, Error> {
    let set = |name: &str| env(name).filter(|value| !value.trim().is_empty());
    let mut settings = Settings::new();
    let arguments = [("host", given.host.clone().map(Secret::new)), ("token", given.token.clone())];
    for (name, value) in arguments {
        if let Some(value) = value {
            settings.insert(name, Setting { value, from: "an argument".to_owned() });
        }
    }
    for (name, variable, _) in ATTRIBUTES {
        if let Some(value) = set(variable) {
            settings.entry(name).or_insert_with(|| Setting { value: Secret::new(value.trim().to_owned()), from: variable.to_owned() });
        }
    }
    let profile = given.profile.clone().or_else(|| set("DATABRICKS_CONFIG_PROFILE"));
    let file = config_file(given, &set);
    let is_configured = settings.contains_key("host") || !methods(&settings).is_empty();
    if profile.is_some() || !is_configured {
        take_profile(&mut settings, &file, profile.as_deref())?;
    }
    login(&settings, file)
}

fn config_file(given: &Given, set: &dyn Fn(&str) -> Option<String>) -> PathBuf {
    let home = set("HOME").map(PathBuf::from);
    let named = given.config_file.clone().or_else(|| set("DATABRICKS_CONFIG_FILE").map(PathBuf::from));
    let path = named.unwrap_or_else(|| PathBuf::from("~/.databrickscfg"));
    match (path.strip_prefix("~"), home) {
        (Ok(rest), Some(home)) => home.join(rest),
        _ => path,
    }
}

/// Fills in what the profile says and nobody else has said.
fn take_profile(settings: &mut Settings, file: &Path, named: Option<&str>) -> Result<(), Error> {
    let text = match std::fs::read_to_string(file) {
        Ok(text) => text,
        // Nobody has asked for the file: that it is not there is no fault.
        Err(_) if named.is_none() => return Ok(()),
        Err(source) => {
            let profile = named.unwrap_or_default().to_owned();
            return Err(Error::NoFile { file: file.to_owned(), profile, source });
        }
    };
    let profiles = Profiles::read(&text);
    let name = named.map_or_else(|| profiles.default_name().to_owned(), str::to_owned);
    let Some(section) = profiles.get(&name) else {
        if named.is_none() {
            return Ok(());
        }
        return Err(Error::NoProfile { file: file.to_owned(), profile: name, known: profiles.names() });
    };
    let theirs = section.get("host").and_then(|host| base_url(host).ok());
    let ours = settings.get("host").and_then(|host| base_url(host.value.expose()).ok());
    if let (Some((theirs, _)), Some((ours, _))) = (theirs, ours)
        && theirs != ours
    {
        return Err(Error::OtherHost { profile: name, theirs, ours });
    }
    for (key, _, _) in ATTRIBUTES {
        if let Some(value) = section.get(key) {
            let from = format!("profile {name} of {}", file.display());
            settings.entry(key).or_insert_with(|| Setting { value: Secret::new(value.clone()), from });
        }
    }
    Ok(())
}

/// Methods that something is set for.
fn methods(settings: &Settings) -> BTreeSet<&'static str> {
    ATTRIBUTES.iter().filter(|(name, _, _)| settings.contains_key(name)).filter_map(|(_, _, method)| *method).collect()
}

fn login(settings: &Settings, file: PathBuf) -> Result<Login, Error> {
    let text = |name: &str| settings.get(name).map(|setting| setting.value.expose().to_owned());
    let (host, of_query) = base_url(&text("host").ok_or(Error::NoHost { file })?)?;
    let origin = Origin::parse(&host)?;
    let chosen = chosen_method(settings)?;
    let from = |name: &str| settings.get(name).map_or_else(String::new, |setting| setting.from.clone());
    let secret = |name: &str| settings.get(name).map(|setting| setting.value.clone());
    let half = |method, missing, variable| Error::Half { method, missing, variable };
    let (how, from) = match chosen {
        None if origin.is_loopback() => (How::Nothing, "nowhere".to_owned()),
        None => return Err(Error::NoMethod { host }),
        Some("pat") => {
            let token = secret("token").ok_or_else(|| half("pat", "token", "DATABRICKS_TOKEN"))?;
            (How::Token(token), from("token"))
        }
        Some("oauth-m2m") => {
            let client_id = text("client_id").ok_or_else(|| half("oauth-m2m", "client_id", "DATABRICKS_CLIENT_ID"))?;
            let client_secret = secret("client_secret").ok_or_else(|| half("oauth-m2m", "client_secret", "DATABRICKS_CLIENT_SECRET"))?;
            (How::Machine { client_id, client_secret }, from("client_secret"))
        }
        Some(method) => {
            let setting = ATTRIBUTES.iter().find(|(name, _, m)| *m == Some(method) && settings.contains_key(name));
            let from = setting.map_or_else(|| from("auth_type"), |(name, _, _)| from(name));
            return Err(Error::Unspoken { method: method.to_owned(), from });
        }
    };
    if !origin.is_tls && !origin.is_loopback() && !matches!(how, How::Nothing) {
        return Err(Error::ClearText { host });
    }
    Ok(Login { host, how, from, workspace_id: text("workspace_id").or(of_query) })
}

/// The method to go by: the one that is asked for, else the only one that something is set for.
fn chosen_method(settings: &Settings) -> Result<Option<&str>, Error> {
    if let Some(asked) = settings.get("auth_type") {
        return Ok(Some(asked.value.expose()));
    }
    let found = methods(settings);
    if found.len() > 1 {
        let place = |method: &&str| {
            let names = ATTRIBUTES.iter().filter(|(name, _, m)| *m == Some(*method) && settings.contains_key(name));
            let places: BTreeSet<&str> = names.filter_map(|(name, _, _)| settings.get(name)).map(|setting| setting.from.as_str()).collect();
            format!("{method} ({})", places.into_iter().collect::<Vec<_>>().join(", "))
        };
        return Err(Error::ManyMethods { methods: found.iter().map(place).collect::<Vec<_>>().join(" and ") });
    }
    Ok(found.first().copied())
}

/// Scheme, host and port of a workspace as people write it, and the workspace's number in `?o=`.
fn base_url(host: &str) -> Result<(String, Option<String>), BadUrl> {
    let host = host.trim();
    let with_scheme = if host.contains("://") { host.to_owned() } else { format!("https://{host}") };
    let number = with_scheme.split_once('?').and_then(|(_, query)| query.split('&').find_map(|pair| pair.strip_prefix("o=")));
    let number = number.map(|n| n.chars().take_while(char::is_ascii_digit).collect::<String>()).filter(|n| !n.is_empty());
    let bare = with_scheme.split(['?', '#']).next().unwrap_or_default();
    let origin = Origin::parse(bare)?;
    Ok((format!("{}://{}", if origin.is_tls { "https" } else { "http" }, origin.authority.to_ascii_lowercase()), number))
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::collections::HashMap;

    const HOST: &str = "https://adb-1234567890123456.7.azuredatabricks.net";

    const FILE: &str = "\
; a comment
[__settings__]
default_profile = work
host = https://not-a-profile.example
[DEFAULT]
host = https://default.cloud.databricks.com
token = dapi-default-canary
[work]
host: https://work.gcp.databricks.com/?o=123456
client_id = 1111
client_secret = work-canary
[both]
host = https://both.cloud.databricks.com
token = dapi-both-canary
client_id = 2222
client_secret = both-canary
[cli]
host = https://cli.cloud.databricks.com
auth_type = databricks-cli
";

    struct World {
        dir: tempfile::TempDir,
        env: HashMap<String, String>,
    }

    impl World {
        fn new(env: &[(&str, &str)]) -> Self {
            let dir = tempfile::tempdir().unwrap();
            std::fs::write(dir.path().join(".databrickscfg"), FILE).unwrap();
            let mut env: HashMap<String, String> = env.iter().map(|(k, v)| ((*k).to_owned(), (*v).to_owned())).collect();
            env.insert("HOME".to_owned(), dir.path().display().to_string());
            Self { dir, env }
        }

        fn resolve(&self, given: &Given) -> Result<Login, Error> {
            resolve(given, &|name| self.env.get(name).cloned())
        }

        fn refusal(&self, given: &Given) -> String {
            let error = self.resolve(given).unwrap_err();
            let text = format!("{error}\n{error:?}");
            assert!(!text.contains("canary"), "{text}");
            text
        }
    }

    fn token_of(login: &Login) -> &str {
        match &login.how {
            How::Token(token) => token.expose(),
            How::Machine { client_secret, .. } => client_secret.expose(),
            How::Nothing => "nothing",
        }
    }

    fn profile(name: &str) -> Given {
        Given { profile: Some(name.to_owned()), ..Given::default() }
    }

    #[test]
    fn arguments_win_over_the_environment_and_that_over_the_profile() {
        let world = World::new(&[("DATABRICKS_TOKEN", "dapi-env-canary"), ("DATABRICKS_HOST", "adb-1234567890123456.7.azuredatabricks.net")]);
        let login = world.resolve(&Given::default()).unwrap();
        assert_eq!((login.host.as_str(), token_of(&login), login.from.as_str()), (HOST, "dapi-env-canary", "DATABRICKS_TOKEN"));
        let given = Given { token: Some(Secret::new("dapi-arg-canary".to_owned())), host: Some("https://x.example".to_owned()), ..Given::default() };
        let login = world.resolve(&given).unwrap();
        assert_eq!((login.host.as_str(), token_of(&login)), ("https://x.example", "dapi-arg-canary"));
        // A profile that is named is read, and does not overwrite what is set.
        let login = World::new(&[("DATABRICKS_TOKEN", "dapi-env-canary")]).resolve(&profile("DEFAULT")).unwrap();
        assert_eq!((login.host.as_str(), token_of(&login)), ("https://default.cloud.databricks.com", "dapi-env-canary"));
        assert!(!format!("{login:?}").contains("canary"));
    }

    #[test]
    fn the_file_is_read_only_if_nothing_else_is_set_or_a_profile_is_named() {
        let login = World::new(&[]).resolve(&Given::default()).unwrap();
        assert_eq!((login.host.as_str(), login.workspace_id.as_deref()), ("https://work.gcp.databricks.com", Some("123456")));
        assert!(matches!(&login.how, How::Machine { client_id, .. } if client_id == "1111"));
        assert!(login.from.contains("profile work"), "{}", login.from);
        let text = World::new(&[("DATABRICKS_HOST", "https://h.example")]).refusal(&Given::default());
        assert!(text.contains("no authorization method") && text.contains("DATABRICKS_CLIENT_ID"), "{text}");
        let login = World::new(&[("DATABRICKS_CONFIG_PROFILE", "DEFAULT")]).resolve(&Given::default()).unwrap();
        assert_eq!(token_of(&login), "dapi-default-canary");
    }

    #[test]
    fn sections_inherit_nothing_and_settings_are_no_profile() {
        let world = World::new(&[]);
        for name in ["__settings__", "nobody", "default"] {
            let text = world.refusal(&profile(name));
            assert!(text.contains("expected one of: DEFAULT, both, cli, work"), "{text}");
        }
        let elsewhere = Given { config_file: Some(world.dir.path().join("missing")), ..profile("work") };
        assert!(world.refusal(&elsewhere).contains("missing"));
        // Without a name a missing file is no fault of its own.
        assert!(World::new(&[("DATABRICKS_CONFIG_FILE", "/nowhere/cfg")]).refusal(&Given::default()).contains("no workspace is named"));
    }

    #[test]
    fn two_methods_are_named_unless_one_is_chosen() {
        let text = World::new(&[]).refusal(&profile("both"));
        assert!(text.contains("oauth-m2m (profile both") && text.contains("and pat (profile both"), "{text}");
        let login = World::new(&[("DATABRICKS_AUTH_TYPE", "pat")]).resolve(&profile("both")).unwrap();
        assert_eq!(token_of(&login), "dapi-both-canary");
        let mixed = World::new(&[("DATABRICKS_HOST", HOST), ("DATABRICKS_TOKEN", "a-canary"), ("ARM_CLIENT_SECRET", "b-canary")]);
        let text = mixed.refusal(&Given::default());
        assert!(text.contains("azure (ARM_CLIENT_SECRET) and pat (DATABRICKS_TOKEN)"), "{text}");
    }

    #[test]
    fn methods_that_are_not_spoken_are_told_and_halves_too() {
        let text = World::new(&[]).refusal(&profile("cli"));
        assert!(text.contains("databricks-cli") && text.contains("profile cli"), "{text}");
        let azure = World::new(&[("DATABRICKS_HOST", HOST), ("ARM_CLIENT_SECRET", "b-canary")]);
        assert!(azure.refusal(&Given::default()).contains("\"azure\" (ARM_CLIENT_SECRET)"));
        let half = World::new(&[("DATABRICKS_HOST", HOST), ("DATABRICKS_CLIENT_ID", "1")]);
        assert!(half.refusal(&Given::default()).contains("needs client_secret"));
    }

    #[test]
    fn secrets_stay_with_their_workspace_and_off_clear_text() {
        let other = Given { host: Some("https://other.example".to_owned()), ..profile("work") };
        assert!(World::new(&[]).refusal(&other).contains("belongs to https://work.gcp.databricks.com"));
        let clear = World::new(&[("DATABRICKS_HOST", "http://workspace.example"), ("DATABRICKS_TOKEN", "a-canary")]);
        assert!(clear.refusal(&Given::default()).contains("without TLS"));
        let local = World::new(&[("DATABRICKS_HOST", "http://127.0.0.1:8000/serving-endpoints"), ("DATABRICKS_TOKEN", "a-canary")]);
        assert_eq!(local.resolve(&Given::default()).unwrap().host, "http://127.0.0.1:8000");
        let open = World::new(&[("DATABRICKS_HOST", "http://localhost:8000")]);
        assert!(matches!(open.resolve(&Given::default()).unwrap().how, How::Nothing));
    }
}
