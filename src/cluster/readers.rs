//! Whose a token is, and whether its holder may read the metrics: the questions that kube-rbac-proxy and
//! controller-runtime ask, too.

use crate::cluster::{Cluster, Error, Result, within};
use crate::domain::readers::{PATH, Verdict};
use crate::domain::secret::Secret;
use k8s_openapi::api::authentication::v1::{TokenReview, TokenReviewSpec, TokenReviewStatus};
use k8s_openapi::api::authorization::v1::{
    NonResourceAttributes, SubjectAccessReview, SubjectAccessReviewSpec,
};
use kube::Api;
use kube::api::PostParams;

impl Cluster {
    /// Asks the API server whether it takes a token for its own, and whose it is.
    pub(super) async fn review(&self, token: &Secret) -> Result<TokenReviewStatus> {
        let review = TokenReview {
            // Without audiences: those of the API server.
            spec: TokenReviewSpec { token: Some(token.expose().to_owned()), audiences: None },
            ..TokenReview::default()
        };
        let api: Api<TokenReview> = Api::all(self.client.clone());
        let answer = within(api.create(&PostParams::default(), &review)).await?;
        answer.status.ok_or(Error::NoAnswer)
    }

    /// Asks the API server whether the holder of a token may read the metrics.
    pub async fn may_read_metrics(&self, token: &Secret) -> Result<Verdict> {
        let found = self.review(token).await?;
        let user = found.user.filter(|user| user.username.as_ref().is_some_and(|name| !name.is_empty()));
        let (Some(true), Some(user)) = (found.authenticated, user) else { return Ok(Verdict::Unknown) };
        let review = SubjectAccessReview {
            spec: SubjectAccessReviewSpec {
                user: user.username,
                groups: user.groups,
                uid: user.uid,
                extra: user.extra,
                non_resource_attributes: Some(NonResourceAttributes {
                    path: Some(PATH.into()),
                    verb: Some("get".into()),
                }),
                resource_attributes: None,
            },
            ..SubjectAccessReview::default()
        };
        let api: Api<SubjectAccessReview> = Api::all(self.client.clone());
        let answer = within(api.create(&PostParams::default(), &review)).await?;
        let status = answer.status.ok_or(Error::NoAnswer)?;
        let permitted = status.allowed && status.denied != Some(true);
        Ok(if permitted { Verdict::Permitted } else { Verdict::Forbidden })
    }
}
