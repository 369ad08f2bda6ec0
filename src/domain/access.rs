//! Who may use an object of another namespace.

use crate::api::shared::{NamespaceAccess, NamespacesFrom};
use k8s_openapi::apimachinery::pkg::apis::meta::v1::LabelSelector;
use std::collections::BTreeMap;

/// Labels of a namespace.
pub type Labels = BTreeMap<String, String>;

/// Whether an object of `owner` that carries `access` may be used from `namespace`, whose labels are
/// `labels` (`None`: not known, so no selector matches).
pub fn permits(access: &NamespaceAccess, owner: &str, namespace: &str, labels: Option<&Labels>) -> bool {
    if owner == namespace {
        return true;
    }
    match access.from {
        NamespacesFrom::Same => false,
        NamespacesFrom::All => true,
        NamespacesFrom::Selector => match (&access.selector, labels) {
            (Some(selector), Some(labels)) => matches(selector, labels),
            _ => false,
        },
    }
}

/// Kubernetes' rules for label selectors. An operator that is not known matches nothing.
fn matches(selector: &LabelSelector, labels: &Labels) -> bool {
    let equal = selector.match_labels.iter().flatten().all(|(key, value)| labels.get(key) == Some(value));
    equal
        && selector.match_expressions.iter().flatten().all(|requirement| {
            let value = labels.get(&requirement.key);
            let listed = || {
                let values = requirement.values.as_deref().unwrap_or_default();
                value.is_some_and(|value| values.contains(value))
            };
            match requirement.operator.as_str() {
                "In" => listed(),
                "NotIn" => !listed(),
                "Exists" => value.is_some(),
                "DoesNotExist" => value.is_none(),
                _ => false,
            }
        })
}

/// What the owner would have to set to permit the use from `namespace`.
pub fn remedy(namespace: &str) -> String {
    format!(
        "access.namespaces to from: All, or to from: Selector with labels that namespace {namespace} carries"
    )
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]
    use super::*;

    #[test]
    fn table() {
        let labels: Labels = [("team".to_string(), "hr".to_string())].into();
        let access = |json| serde_json::from_value::<NamespaceAccess>(json).unwrap();
        let selector = |json| access(serde_json::json!({ "from": "Selector", "selector": json }));
        for (access, permitted) in [
            (access(serde_json::json!({})), false),
            (access(serde_json::json!({ "from": "All" })), true),
            (selector(serde_json::json!({})), true),
            (selector(serde_json::json!({ "matchLabels": { "team": "hr" } })), true),
            (selector(serde_json::json!({ "matchLabels": { "team": "it" } })), false),
            (
                selector(
                    serde_json::json!({ "matchExpressions": [{ "key": "team", "operator": "In", "values": ["it", "hr"] }] }),
                ),
                true,
            ),
            (
                selector(
                    serde_json::json!({ "matchExpressions": [{ "key": "team", "operator": "NotIn", "values": ["hr"] }] }),
                ),
                false,
            ),
            (
                selector(
                    serde_json::json!({ "matchExpressions": [{ "key": "x", "operator": "NotIn", "values": ["hr"] }] }),
                ),
                true,
            ),
            (
                selector(
                    serde_json::json!({ "matchExpressions": [{ "key": "team", "operator": "Exists" }] }),
                ),
                true,
            ),
            (
                selector(
                    serde_json::json!({ "matchExpressions": [{ "key": "team", "operator": "DoesNotExist" }] }),
                ),
                false,
            ),
            (
                selector(serde_json::json!({ "matchExpressions": [{ "key": "team", "operator": "Like" }] })),
                false,
            ),
        ] {
            assert_eq!(permits(&access, "mail", "hr", Some(&labels)), permitted, "{access:?}");
            assert!(permits(&access, "hr", "hr", None), "the own namespace always may");
        }
        assert!(
            !permits(&selector(serde_json::json!({})), "mail", "hr", None),
            "unknown labels match nothing"
        );
    }
}
