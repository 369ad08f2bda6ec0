//! Who may do what, asked of the API server: the operator's `ServiceAccount`, and people with Kubernetes' view, edit and admin.

use super::{ask, chart, helm};
use crate::cluster::namespace;
use mail_operator_testbed::ControlPlane;

#[tokio::test]
async fn the_operator_may_do_its_work_and_no_more() {
    let plane = namespace("rights").await;
    helm(plane, &["install", "rights", &chart(), "--namespace", "rights"]).await.unwrap();
    let operator = ["--as", "system:serviceaccount:rights:rights-mail-operator"];

    for question in [
        // Anywhere.
        "watch mailserverconfigs.mail-operator.dev -A",
        "list messagetemplates.mail-operator.dev -A",
        "watch notifications.mail-operator.dev -A",
        "delete notifications.mail-operator.dev -n default",
        "patch notifications.mail-operator.dev --subresource=status -n default",
        "patch mailserverconfigs.mail-operator.dev --subresource=status -n default",
        "patch messagetemplates.mail-operator.dev --subresource=status -n default",
        "get secrets -n default",
        "get configmaps -n default",
        "get serviceaccounts -n default",
        "watch namespaces",
        "create events.events.k8s.io -n default",
        "patch events.events.k8s.io -n default",
        "patch customresourcedefinitions.apiextensions.k8s.io/notifications.mail-operator.dev",
        "get customresourcedefinitions.apiextensions.k8s.io/messagetemplates.mail-operator.dev",
        // Its own namespace.
        "list configmaps -n rights",
        "create configmaps -n rights",
        "update configmaps -n rights",
        "delete configmaps -n rights",
        "create leases.coordination.k8s.io -n rights",
        "update leases.coordination.k8s.io/rights-mail-operator -n rights",
    ] {
        assert_eq!(can_i(plane, question, &operator).await, "yes", "{question}");
    }
    for question in [
        "list secrets -A",
        "list secrets -n rights",
        "watch secrets -A",
        "watch secrets -n default",
        "create secrets -n rights",
        "update secrets -n default",
        "patch secrets -n default",
        "delete secrets -n default",
        "list configmaps -n default",
        "update configmaps -n default",
        "delete configmaps -n default",
        "update leases.coordination.k8s.io/other -n rights",
        "create leases.coordination.k8s.io -n default",
        "patch notifications.mail-operator.dev -n default",
        "create notifications.mail-operator.dev -n default",
        "update mailserverconfigs.mail-operator.dev -n default",
        "delete mailserverconfigs.mail-operator.dev -n default",
        "delete messagetemplates.mail-operator.dev -n default",
        "patch namespaces/default",
        "patch customresourcedefinitions.apiextensions.k8s.io/others.example.com",
        "delete customresourcedefinitions.apiextensions.k8s.io/notifications.mail-operator.dev",
        "create customresourcedefinitions.apiextensions.k8s.io",
        "list customresourcedefinitions.apiextensions.k8s.io",
        "list serviceaccounts -n default",
        "create serviceaccounts --subresource=token -n rights",
        "create serviceaccounts/sender --subresource=token -n default",
        "create tokenreviews.authentication.k8s.io",
        "create subjectaccessreviews.authorization.k8s.io",
        "create pods -n rights",
        "bind clusterroles.rbac.authorization.k8s.io",
    ] {
        assert_eq!(can_i(plane, question, &operator).await, "no", "{question}");
    }
    helm(plane, &["uninstall", "rights", "--namespace", "rights"]).await.unwrap();
}

#[tokio::test]
async fn tokens_of_named_service_accounts_and_of_no_other() {
    let plane = namespace("tokens").await;
    let named = "federation.serviceAccounts={tokens/sender,default/sender.example}";
    helm(plane, &["install", "tokens", &chart(), "--namespace", "tokens", "--set", named]).await.unwrap();
    let operator = ["--as", "system:serviceaccount:tokens:tokens-mail-operator"];
    for (question, expected) in [
        ("create serviceaccounts/sender --subresource=token -n tokens", "yes"),
        ("create serviceaccounts/sender.example --subresource=token -n default", "yes"),
        ("create serviceaccounts/tokens-mail-operator --subresource=token -n tokens", "no"),
        ("create serviceaccounts/default --subresource=token -n tokens", "no"),
        ("create serviceaccounts/sender --subresource=token -n default", "no"),
        ("create serviceaccounts/sender --subresource=token -n kube-system", "no"),
        ("create serviceaccounts --subresource=token -n tokens", "no"),
        ("create tokenreviews.authentication.k8s.io", "yes"),
    ] {
        assert_eq!(can_i(plane, question, &operator).await, expected, "{question}");
    }
    let every = "federation.serviceAccounts={*}";
    helm(plane, &["upgrade", "tokens", &chart(), "--namespace", "tokens", "--set", every]).await.unwrap();
    for question in
        ["create serviceaccounts --subresource=token -n default", "create tokenreviews.authentication.k8s.io"]
    {
        assert_eq!(can_i(plane, question, &operator).await, "yes", "{question}");
    }
    for wrong in ["sender", "tokens/", "*/sender", "Tokens/sender"] {
        let set = format!("federation.serviceAccounts={{{wrong}}}");
        let refused = helm(plane, &["template", "tokens", &chart(), "--set", &set]).await;
        assert!(refused.is_err(), "{wrong}");
    }
    helm(plane, &["uninstall", "tokens", "--namespace", "tokens"]).await.unwrap();
}

#[tokio::test]
async fn reviews_are_asked_for_only_where_metrics_need_a_token() {
    let plane = namespace("reviews").await;
    let set = "metrics.authentication.enabled=true";
    helm(plane, &["install", "reviews", &chart(), "--namespace", "reviews", "--set", set]).await.unwrap();
    let role = ["--clusterrole=reviews-mail-operator-metrics-reader", "--serviceaccount=reviews:default"];
    ask(plane, &[&["create", "clusterrolebinding", "reviews-reader"], &role[..]].concat()).await;
    for (account, question, expected) in [
        ("reviews-mail-operator", "create tokenreviews.authentication.k8s.io", "yes"),
        ("reviews-mail-operator", "create subjectaccessreviews.authorization.k8s.io", "yes"),
        ("reviews-mail-operator", "get /metrics", "no"),
        ("default", "get /metrics", "yes"),
        ("default", "get /logs", "no"),
    ] {
        let user = format!("system:serviceaccount:reviews:{account}");
        assert_eq!(can_i(plane, question, &["--as", &user]).await, expected, "{account}: {question}");
    }
    helm(plane, &["uninstall", "reviews", "--namespace", "reviews"]).await.unwrap();
}

#[tokio::test]
async fn view_edit_and_admin_cover_the_kinds_but_never_a_status() {
    let plane = namespace("people").await;
    helm(plane, &["install", "people", &chart(), "--namespace", "people"]).await.unwrap();
    for role in ["view", "edit", "admin"] {
        let (clusterrole, user) = (format!("--clusterrole={role}"), format!("--user={role}er"));
        ask(plane, &["create", "rolebinding", role, &clusterrole, &user, "-n", "people"]).await;
    }
    aggregated(plane).await;

    for (question, viewer, editor, admin) in [
        ("get notifications.mail-operator.dev", "yes", "yes", "yes"),
        ("watch mailserverconfigs.mail-operator.dev", "yes", "yes", "yes"),
        ("list messagetemplates.mail-operator.dev", "yes", "yes", "yes"),
        ("create notifications.mail-operator.dev", "no", "yes", "yes"),
        ("patch mailserverconfigs.mail-operator.dev", "no", "yes", "yes"),
        ("update messagetemplates.mail-operator.dev", "no", "yes", "yes"),
        ("deletecollection notifications.mail-operator.dev", "no", "yes", "yes"),
        ("patch notifications.mail-operator.dev --subresource=status", "no", "no", "no"),
        ("update notifications.mail-operator.dev --subresource=status", "no", "no", "no"),
        ("patch mailserverconfigs.mail-operator.dev --subresource=status", "no", "no", "no"),
        ("patch messagetemplates.mail-operator.dev --subresource=status", "no", "no", "no"),
    ] {
        let question = format!("{question} -n people");
        for (user, expected) in [("viewer", viewer), ("editer", editor), ("adminer", admin)] {
            assert_eq!(can_i(plane, &question, &["--as", user]).await, expected, "{user}: {question}");
        }
    }
    helm(plane, &["uninstall", "people", "--namespace", "people"]).await.unwrap();
}

/// Waits until the controller manager has added our rules to Kubernetes' own roles.
async fn aggregated(plane: &ControlPlane) {
    let deadline = tokio::time::Instant::now() + std::time::Duration::from_secs(30);
    while can_i(plane, "create notifications.mail-operator.dev -n people", &["--as", "editer"]).await != "yes"
    {
        assert!(tokio::time::Instant::now() < deadline, "the rules were not aggregated to `edit`");
    }
}

async fn can_i(plane: &ControlPlane, question: &str, user: &[&str]) -> String {
    let question: Vec<_> = question.split(' ').collect();
    let answer = plane.kubectl(&[&["auth", "can-i"], &question[..], user].concat()).await.unwrap();
    answer.stdout.trim().to_owned()
}
