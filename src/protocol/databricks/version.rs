//! Unity Catalog: versions of a registered model and the aliases that point at them.

use super::lenient;
use serde::{Deserialize, Serialize};

/// One version of a registered model.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct ModelVersion {
    /// Its number, from 1.
    #[serde(deserialize_with = "lenient::whole")]
    pub version: u64,
    /// Whether it can be used.
    #[serde(default)]
    pub status: VersionStatus,
    /// Full name of the model, if told.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub model_name: Option<String>,
    /// When it was registered, in milliseconds since 1970.
    #[serde(default, deserialize_with = "lenient::maybe_whole", skip_serializing_if = "Option::is_none")]
    pub created_at: Option<u64>,
}

/// Where a version stands in its registration.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "SCREAMING_SNAKE_CASE")]
pub enum VersionStatus {
    /// It can be deployed.
    Ready,
    /// Its files are still on their way.
    PendingRegistration,
    /// It never will be.
    FailedRegistration,
    /// Nothing is known, or a word that is newer than this program.
    #[default]
    #[serde(rename = "MODEL_VERSION_STATUS_UNKNOWN", other)]
    Unknown,
}

/// One page of versions: in no order, and possibly empty although more pages follow.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct VersionPage {
    /// The versions of this page.
    #[serde(default, deserialize_with = "lenient::list")]
    pub model_versions: Vec<ModelVersion>,
    /// Where the next page begins; absent or empty on the last one.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub next_page_token: Option<String>,
}

impl VersionPage {
    /// Where the next page begins.
    #[must_use]
    pub fn next(&self) -> Option<&str> {
        self.next_page_token.as_deref().filter(|token| !token.is_empty())
    }
}

/// The highest version that can be deployed.
#[must_use]
pub fn latest_ready(versions: &[ModelVersion]) -> Option<u64> {
    versions.iter().filter(|v| v.status == VersionStatus::Ready).map(|v| v.version).max()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn pages_may_be_empty_and_versions_come_in_no_order() {
        let page = |text: &str| serde_json::from_str::<VersionPage>(text).unwrap();
        let first = page(r#"{"next_page_token":"abc"}"#);
        assert_eq!((first.model_versions.len(), first.next()), (0, Some("abc")));
        let second = page(
            r#"{"model_versions":[{"version":3,"status":"READY","created_at":1700000000000},{"version":"11","status":"PENDING_REGISTRATION"},
               {"version":9,"status":"READY","extra":{}},{"version":12,"status":"SOMETHING_NEW"},{"version":13}],"next_page_token":""}"#,
        );
        assert_eq!(second.next(), None);
        assert_eq!(latest_ready(&second.model_versions), Some(9));
        assert_eq!(second.model_versions[3].status, VersionStatus::Unknown);
        assert_eq!(latest_ready(&first.model_versions), None);
    }
}
