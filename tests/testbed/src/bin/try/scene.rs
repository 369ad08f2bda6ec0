//! Everything that runs during `make try`: control plane, inbox, operator, in the order in which they need each other.

use crate::Result;
use mail_operator_testbed::{
    ControlPlane, Mailpit, Operator, certificates::CertificateAuthority, mailpit::MailpitOptions,
    operator::OperatorOptions, progress,
};
use serde::Deserialize;
use serde_json::Value;
use std::{
    path::{Path, PathBuf},
    time::Duration,
};

/// Root of the source tree.
pub const ROOT: &str = concat!(env!("CARGO_MANIFEST_DIR"), "/../..");
/// The chart's name for itself, its namespace and its `ServiceAccount`.
const OPERATOR: &str = "mail-operator";
/// What of the chart is applied: rights, but no Deployment, since no node would run it.
const RBAC_KINDS: [&str; 5] = ["ServiceAccount", "Role", "RoleBinding", "ClusterRole", "ClusterRoleBinding"];
const READY_LIMIT: Duration = Duration::from_mins(1);
const END_LIMIT: Duration = Duration::from_secs(10);

/// A control plane with the operator, and an inbox; dropping it ends them all.
pub struct Scene {
    // Fields are dropped in this order: who needs another one goes first.
    pub operator: Operator,
    pub inbox: Mailpit,
    pub plane: ControlPlane,
    pub login: Login,
    pub ca: CertificateAuthority,
    /// The folder with the plugin of kubectl.
    plugins: PathBuf,
}

/// What the inbox demands of whoever delivers to it.
pub struct Login {
    pub user: String,
    pub password: String,
}

impl Scene {
    pub async fn set() -> Result<Self> {
        let binary = operator_binary()?;
        let plane = ControlPlane::start().await?;
        let ca = CertificateAuthority::new("Throw-away CA of make try")?;
        let login = Login { user: "notifications@corp.example".into(), password: "of-make-try".into() };
        let inbox = start_inbox(&ca, &login).await?;
        println!("Control plane at {}, inbox at smtp://{}", plane.url(), inbox.smtp_address());
        progress::during("installing the CRDs and the chart's RBAC", install(&plane)).await?;
        let kubeconfig = plane.kubeconfig_for_service_account(OPERATOR, OPERATOR).await?;
        let operator = start_operator(&binary, kubeconfig).await?;
        println!("The operator runs as ServiceAccount {OPERATOR}/{OPERATOR}");
        // `make try` builds the plugin beside the operator.
        let plugins = binary.parent().map(PathBuf::from).unwrap_or_default();
        Ok(Self { operator, inbox, plane, login, ca, plugins })
    }

    /// Ends everything in good order, the operator first.
    pub async fn end(self) -> Result<()> {
        self.operator.term()?;
        let status = self.operator.wait_exit(END_LIMIT).await?;
        if status.success() {
            return Ok(());
        }
        Err(format!("the operator ended with {status} when told to end:\n{}", self.operator.log_tail(20))
            .into())
    }

    pub fn how_to_go_on(&self) -> String {
        format!(
            "\
Go on in another terminal, in this folder:
  export KUBECONFIG={kubeconfig}
  alias kubectl={kubectl}
  export PATH={plugin}:$PATH     # for kubectl mail
Edit examples/quickstart/notification.yaml (give it another name: a Notification is sent once), then:
  kubectl apply -f examples/quickstart/notification.yaml
  kubectl get msc,mt,notif -A
  kubectl mail test company-mail; kubectl mail send --server company-mail --to you@corp.example --subject Hello --text Hello
The inbox: curl -s {inbox}/api/v1/messages     one message: {inbox}/api/v1/message/ID/raw
The operator's log: {log}
Ctrl-C ends everything.",
            kubeconfig = self.plane.kubeconfig().display(),
            kubectl = self.plane.kubectl_path().display(),
            plugin = self.plugins.display(),
            inbox = self.inbox.api_url(),
            log = self.operator.log_path().display(),
        )
    }
}

/// The operator's binary, which `make try` builds together with this one.
fn operator_binary() -> Result<PathBuf> {
    let path = std::env::current_exe()?.with_file_name(OPERATOR);
    if path.exists() {
        Ok(path)
    } else {
        Err(format!("{} is missing; run `make try`", path.display()).into())
    }
}

async fn start_inbox(ca: &CertificateAuthority, login: &Login) -> Result<Mailpit> {
    let options = MailpitOptions {
        certificate: Some(ca.server("localhost", &["127.0.0.1"])?),
        login: Some((login.user.clone(), login.password.clone())),
        ..MailpitOptions::default()
    };
    Ok(Mailpit::start(options).await?)
}

/// The CRDs as they are, and of the chart what gives the operator its rights.
async fn install(plane: &ControlPlane) -> Result<()> {
    plane.install_crds(&Path::new(ROOT).join("crds")).await?;
    plane.kubectl(&["create", "namespace", OPERATOR]).await?.success()?;
    let chart = Path::new(ROOT).join("charts").join(OPERATOR);
    let chart =
        plane.helm(&["template", OPERATOR, &chart.to_string_lossy(), "--namespace", OPERATOR]).await?;
    plane.apply_yaml(&rbac_of(&chart.success()?)?).await?;
    Ok(())
}

/// The objects of a rendered chart that give rights, as one `List`.
fn rbac_of(manifests: &str) -> Result<String> {
    let mut items = Vec::new();
    for document in serde_yaml::Deserializer::from_str(manifests) {
        let object = Value::deserialize(document)?;
        if object.get("kind").and_then(Value::as_str).is_some_and(|kind| RBAC_KINDS.contains(&kind)) {
            items.push(object);
        }
    }
    Ok(serde_json::json!({ "apiVersion": "v1", "kind": "List", "items": items }).to_string())
}

async fn start_operator(binary: &Path, kubeconfig: PathBuf) -> Result<Operator> {
    // The inbox is on loopback, where no mail server of a real cluster is; so it has to be allowed.
    let flags = ["--operator-namespace", OPERATOR, "--egress-allow", "127.0.0.0/8"];
    let operator = Operator::start(&OperatorOptions::new(binary, kubeconfig).args(flags))?;
    progress::during("waiting for the operator", operator.until_ready(READY_LIMIT)).await?;
    Ok(operator)
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used, clippy::indexing_slicing)]
    use super::*;

    #[test]
    fn of_a_chart_only_what_gives_rights_is_taken() {
        let chart = "---\n# a comment only\n---\nkind: Deployment\n---\nkind: Role\nmetadata: {name: a}\n---\nkind: Service\n";
        let list: Value = serde_json::from_str(&rbac_of(chart).unwrap()).unwrap();
        assert_eq!(list["items"], serde_json::json!([{ "kind": "Role", "metadata": { "name": "a" } }]));
    }
}
