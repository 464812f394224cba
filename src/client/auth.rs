//! Bearer tokens from environment or file, in a type that cannot be printed.

use crate::scenario::target::Auth;
use secrecy::{ExposeSecret, SecretString};
use std::fmt;
use std::path::{Path, PathBuf};
use std::sync::Mutex;
use std::sync::atomic::{AtomicU64, Ordering};

/// A bearer token. It is never shown, and its memory is wiped when it goes.
#[derive(Clone)]
pub struct Secret(SecretString);

impl Secret {
    /// Takes `text` into custody.
    #[must_use]
    pub fn new(text: String) -> Self {
        Self(SecretString::from(text))
    }

    /// The token itself: for request headers, and to strike it out of what an endpoint says.
    #[must_use]
    pub(crate) fn expose(&self) -> &str {
        self.0.expose_secret()
    }
}

impl fmt::Debug for Secret {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Secret(***)")
    }
}

/// Why there is no token, and what to do about it.
#[derive(Debug, thiserror::Error)]
pub enum Error {
    /// The environment variable is not set, or empty.
    #[error(
        "target.auth.bearer_env: the environment variable {variable} is not set\n  expected the bearer token of the endpoint\nhint: export {variable}=..."
    )]
    NoVariable {
        /// Its name.
        variable: String,
    },
    /// The file cannot be read.
    #[error("target.auth.bearer_file: {}: {source}\n  expected a file that holds the bearer token and nothing else\nhint: a relative path starts at the scenario's folder", path.display())]
    NoFile {
        /// The file.
        path: PathBuf,
        /// What the system said.
        #[source]
        source: std::io::Error,
    },
    /// There is a text, but no header can carry it. The text itself is not repeated.
    #[error(
        "{place}: this is not a bearer token\n  expected visible ASCII characters without spaces or line breaks inside\nhint: the file or variable must hold the token alone, without `Bearer`"
    )]
    NotAToken {
        /// The variable or the file.
        place: String,
    },
}

/// The token that `auth` names; none for a Databricks login, which `databricks::Workspace::of_target` asks for. White space around it is dropped. `env` looks up environment variables.
pub fn bearer(auth: &Auth, base_dir: &Path, env: impl Fn(&str) -> Option<String>) -> Result<Option<Secret>, Error> {
    match auth {
        Auth::None | Auth::Databricks(_) => Ok(None),
        Auth::BearerEnv(variable) => {
            let text = env(variable).filter(|text| !text.trim().is_empty()).ok_or_else(|| Error::NoVariable { variable: variable.clone() })?;
            checked(&text, || format!("target.auth.bearer_env: {variable}")).map(Some)
        }
        Auth::BearerFile(path) => {
            let path = base_dir.join(path);
            let text = std::fs::read_to_string(&path).map_err(|source| Error::NoFile { path: path.clone(), source })?;
            checked(&text, || format!("target.auth.bearer_file: {}", path.display())).map(Some)
        }
    }
}

fn checked(text: &str, place: impl Fn() -> String) -> Result<Secret, Error> {
    let token = text.trim();
    if token.is_empty() || !token.bytes().all(|b| b.is_ascii_graphic()) {
        return Err(Error::NotAToken { place: place() });
    }
    Ok(Secret::new(token.to_owned()))
}

/// `words` without `token`, and without its beginning where the words were cut inside it.
#[must_use]
pub fn struck_out(words: &str, token: &Secret) -> String {
    let token = token.expose();
    let mut words = words.replace(token, "***");
    let cut = (4..token.len()).rev().find(|&n| token.is_char_boundary(n) && words.ends_with(&token[..n]));
    if let Some(n) = cut {
        words.truncate(words.len() - n);
        words.push_str("***");
    }
    words
}

/// A bearer token that is renewed while requests are open. Whoever has a new one offers it; each sender takes it up between two requests, so that
/// no request waits for a renewal.
#[derive(Debug, Default)]
pub struct TokenFeed {
    version: AtomicU64,
    newest: Mutex<Option<Secret>>,
}

impl TokenFeed {
    /// From now on requests go out with `token`.
    pub fn offer(&self, token: Secret) {
        if let Ok(mut newest) = self.newest.lock() {
            *newest = Some(token);
            self.version.fetch_add(1, Ordering::Release);
        }
    }

    /// The newest token, if one was offered since `seen`, which is moved on. Without one this costs a load.
    pub fn newer_than(&self, seen: &mut u64) -> Option<Secret> {
        let version = self.version.load(Ordering::Acquire);
        if version == *seen {
            return None;
        }
        *seen = version;
        self.newest.lock().ok()?.clone()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const NOWHERE: fn(&str) -> Option<String> = |_| None;

    /// forall places of a cut: neither the token nor four letters of its beginning are left.
    #[test]
    fn a_token_is_struck_out_wherever_the_words_were_cut() {
        let token = Secret::new("dapi-canary-0123".to_owned());
        let whole = "expired: Bearer dapi-canary-0123, ask again";
        assert_eq!(struck_out(whole, &token), "expired: Bearer ***, ask again");
        for cut in 16..whole.len() {
            let left = struck_out(&whole[..cut], &token);
            assert!(!left.contains("dapi"), "{left}");
        }
    }

    #[test]
    fn a_token_that_was_offered_is_taken_once_by_everyone() {
        let feed = TokenFeed::default();
        let (mut a, mut b) = (0, 0);
        assert!(feed.newer_than(&mut a).is_none());
        feed.offer(Secret::new("one".to_owned()));
        feed.offer(Secret::new("two".to_owned()));
        assert_eq!(feed.newer_than(&mut a).unwrap().expose(), "two");
        assert!(feed.newer_than(&mut a).is_none());
        assert_eq!(feed.newer_than(&mut b).unwrap().expose(), "two");
    }

    #[test]
    fn a_secret_cannot_be_printed() {
        let secret = Secret::new("dapi-canary".to_owned());
        assert_eq!(format!("{secret:?} {:#?}", Some(&secret)), "Secret(***) Some(\n    Secret(***),\n)");
        assert_eq!(secret.expose(), "dapi-canary");
    }

    #[test]
    fn tokens_come_from_the_environment_or_a_file() {
        let env = |name: &str| (name == "TOKEN").then(|| " abc\n".to_owned());
        let base = tempfile::tempdir().unwrap();
        let from = |auth: Auth| bearer(&auth, base.path(), env).unwrap().map(|secret| secret.expose().to_owned());
        assert_eq!(from(Auth::None), None);
        assert_eq!(from(Auth::BearerEnv("TOKEN".to_owned())).as_deref(), Some("abc"));
        std::fs::write(base.path().join("token"), "xyz\r\n").unwrap();
        assert_eq!(from(Auth::BearerFile("token".into())).as_deref(), Some("xyz"));
    }

    #[test]
    fn errors_name_the_place_and_never_the_token() {
        let text = |auth: Auth| bearer(&auth, Path::new("/scenario"), NOWHERE).unwrap_err().to_string();
        let missing = text(Auth::BearerEnv("DATABRICKS_TOKEN".to_owned()));
        assert!(missing.contains("DATABRICKS_TOKEN") && missing.contains("hint: export"), "{missing}");
        let missing = text(Auth::BearerFile("no-such-file".into()));
        assert!(missing.contains("/scenario/no-such-file"), "{missing}");
        let wrong = bearer(&Auth::BearerEnv("T".to_owned()), Path::new("/"), |_| Some("Bearer canary".to_owned())).unwrap_err();
        assert!(wrong.to_string().contains("bearer_env: T") && !format!("{wrong} {wrong:?}").contains("canary"));
    }
}
