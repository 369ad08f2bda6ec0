//! Brings our own three CRDs up to date. Helm never upgrades the CRDs it has installed, so an operator
//! that is newer than they are does it; an older one never writes its schema over a newer one.

use crate::api::crds;
use crate::api::names::SCHEMA_VERSION;
use crate::cluster::references::exists;
use crate::cluster::{Cluster, Result, within};
use k8s_openapi::apiextensions_apiserver::pkg::apis::apiextensions::v1::CustomResourceDefinition;
use kube::Api;
use kube::api::{Patch, PatchParams};

impl Cluster {
    /// Patches those of our CRDs whose schema is older than ours; those that are not installed are left
    /// alone (creating them takes a permission that the operator does not have). Returns the names patched.
    pub async fn upgrade_crds(&self) -> Result<Vec<String>> {
        let api: Api<CustomResourceDefinition> = Api::all(self.client.clone());
        let mut upgraded = Vec::new();
        for wanted in crds::all() {
            let name = wanted.metadata.name.clone().unwrap_or_default();
            let Some(found) = exists(within(api.get(&name)).await)? else { continue };
            if schema_version(&found) >= crds::CURRENT_SCHEMA {
                continue;
            }
            let patch = serde_json::json!({
                "metadata": {
                    "annotations": { SCHEMA_VERSION: crds::CURRENT_SCHEMA.to_string() },
                    "resourceVersion": found.metadata.resource_version,
                },
                "spec": { "versions": wanted.spec.versions, "names": wanted.spec.names },
            });
            within(api.patch(&name, &PatchParams::default(), &Patch::Merge(&patch))).await?;
            upgraded.push(name);
        }
        Ok(upgraded)
    }
}

/// 0 for a CRD from before the annotation was there.
fn schema_version(crd: &CustomResourceDefinition) -> u32 {
    let annotations = crd.metadata.annotations.as_ref();
    annotations.and_then(|all| all.get(SCHEMA_VERSION)).and_then(|text| text.parse().ok()).unwrap_or_default()
}
