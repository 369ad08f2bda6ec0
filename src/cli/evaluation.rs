//! Templates are checked and rendered as the operator does it: in a process that can be ended.

use crate::cli::failure::{Exit, Failure};
use crate::domain::catalog::Catalog;
use crate::domain::preparation::{Composed, Obstacle, Prepared};
use crate::domain::recipients::Addressee;
use crate::evaluation::{Evaluator, Unanswered};

/// Checks every template of the catalog that was not checked yet.
pub async fn check_all(evaluator: &Evaluator, catalog: &mut Catalog) -> Result<(), Failure> {
    while let Some(check) = catalog.next_check() {
        let namespace = check.source.namespace().unwrap_or_default();
        let found = evaluator
            .check(namespace, check.sources.clone())
            .await
            .map_err(|unanswered| failure(&unanswered))?;
        catalog.settle(check, found);
    }
    Ok(())
}

/// The message for some recipients, and for a server with or without SMTPUTF8.
pub async fn compose(
    evaluator: &Evaluator,
    prepared: &Prepared<'_>,
    parcel: &[Addressee<'_>],
    smtputf8: bool,
) -> Result<Result<Composed, Obstacle>, Failure> {
    let question = match prepared.question(parcel) {
        Ok(question) => question,
        Err(obstacle) => return Ok(Err(obstacle)),
    };
    let answer = match question {
        None => None,
        Some(question) => Some(match evaluator.ask("", &question).await {
            Ok(answer) => Ok(answer),
            Err(Unanswered::Overrun(overrun)) => Err(overrun),
            Err(unanswered) => return Err(failure(&unanswered)),
        }),
    };
    Ok(prepared.compose(parcel, answer, smtputf8))
}

/// Nothing is known of the template then.
pub fn failure(unanswered: &Unanswered) -> Failure {
    Failure::new(Exit::Failed, format!("the template could not be evaluated: {unanswered}"))
        .next("try again; if the machine is busy, when it has less to do")
}
