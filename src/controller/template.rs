//! Reconciles MessageTemplates: learn, have checked, tell, and have those looked at again whom it concerns: templates
//! that it wraps or whose name it shares, and Notifications that use any of these. Templates are checked beside each
//! other and in other processes; nobody waits for one that takes long.

use crate::api::{ConditionType, MessageTemplate, Reason};
use crate::cluster::Error;
use crate::cluster::events::Severity;
use crate::controller::Context;
use crate::controller::waiting::Dependency;
use crate::controller::watches::{Seen, watch};
use crate::delivery::vitals::Pulse;
use crate::domain::catalog::Check;
use crate::domain::lookup::Source;
use crate::domain::object::ObjectKey;
use crate::domain::status::server::ready_changed;
use crate::domain::status::{conditions, template as status};
use crate::domain::template::{Findings, TemplateProblem};
use crate::domain::vitals::Loop;
use futures::StreamExt;
use jiff::Timestamp;
use std::collections::{BTreeSet, HashMap};
use std::sync::Arc;
use std::time::Duration;
use tokio::task::{AbortHandle, JoinSet};
use tokio::time::Instant;

/// Statuses (a fresh read each) under way at once.
const REPORTS: usize = 8;

/// How long the start waits for templates to be checked, so that Notifications find them. It does not wait longer: one
/// that takes its time must keep nobody else from sending.
const PATIENCE: Duration = Duration::from_secs(5);

/// Wait before a check is asked for again that nothing was free for, and before a status is written again.
const AGAIN: Duration = Duration::from_secs(1);

/// Follows all templates.
pub async fn run(context: Arc<Context>) {
    tokio::join!(follow(&context), report(&context));
}

/// What the one loop that follows templates keeps.
struct Following<'a> {
    context: &'a Context,
    checks: Checks,
    /// As they were seen, until they are checked: whether there is anything to tell shows without another read.
    seen: HashMap<ObjectKey, Box<MessageTemplate>>,
    /// Until when the process is not ready for want of checks.
    patience: Option<Instant>,
}

async fn follow(context: &Context) {
    let mut events = watch::<MessageTemplate>(&context.client, &namespaces(context), None);
    let mut following =
        Following { context, checks: Checks::default(), seen: HashMap::new(), patience: None };
    let mut early = Some(HashMap::new());
    let pulse = context.delivery.vitals.of(Loop::MessageTemplates);
    loop {
        let patience = following.patience;
        let news = pulse.waiting(async {
            tokio::select! {
                seen = events.next() => News::Seen(seen),
                review = context.reassessments.next(1) => News::Surroundings(review.key.clone()),
                checked = following.checks.next() => News::Checked(Box::new(checked)),
                () = tokio::time::sleep_until(patience.unwrap_or_else(Instant::now)), if patience.is_some() => {
                    News::PatienceIsOver
                }
            }
        });
        match news.await {
            News::Seen(None) => return pulse.ended(),
            News::Seen(Some(Seen::Synced)) => following.begin(&pulse, early.take().unwrap_or_default()).await,
            News::Seen(Some(seen)) => match &mut early {
                Some(early) => gather(early, seen),
                None => following.take(seen),
            },
            News::Surroundings(key) => {
                let changed = context.delivery.catalog_mut().reconsider(&Source::Object(key));
                following.changed(changed);
            }
            News::Checked(checked) => {
                let (check, found) = *checked;
                let changed = context.delivery.catalog_mut().settle(check, found);
                following.changed(changed);
            }
            News::PatienceIsOver => following.ready(),
        }
    }
}

/// What the loop hears of.
enum News {
    Seen(Option<Seen<MessageTemplate>>),
    /// What is around this template may have changed.
    Surroundings(ObjectKey),
    Checked(Box<Checked>),
    PatienceIsOver,
}

/// The namespaces looked after, and the operator's own: its templates are for all.
fn namespaces(context: &Context) -> Vec<String> {
    let mut namespaces = context.namespaces.clone();
    let own = context.delivery.cluster.operator_namespace();
    if !namespaces.is_empty() && !namespaces.iter().any(|namespace| namespace == own) {
        namespaces.push(own.to_owned());
    }
    namespaces
}

/// Keeps what existed at the start until all of it is known: a template whose layout is still on its way would be called
/// invalid for a moment, with two writes at each start.
fn gather(early: &mut HashMap<ObjectKey, Seen<MessageTemplate>>, seen: Seen<MessageTemplate>) {
    match &seen {
        Seen::Object(template) => {
            if let Some(key) = ObjectKey::of(&**template) {
                early.insert(key, seen);
            }
        }
        Seen::Undecodable { key, .. } => drop(early.insert(key.clone(), seen)),
        Seen::Gone(key, _) => drop(early.remove(key)),
        Seen::Synced => {}
    }
}

impl Following<'_> {
    /// Takes in what existed at the start.
    async fn begin(&mut self, pulse: &Pulse, early: HashMap<ObjectKey, Seen<MessageTemplate>>) {
        pulse.rest();
        while self.context.pending.list().contains(&"namespaces") {
            tokio::time::sleep(Duration::from_millis(5)).await;
        }
        pulse.begin();
        let mut changed = BTreeSet::new();
        for seen in early.into_values() {
            changed.extend(self.learn(seen));
        }
        // Some came before their layouts.
        for source in changed.clone() {
            changed.extend(self.context.delivery.catalog_mut().reconsider(&source));
        }
        self.patience = Some(Instant::now() + PATIENCE);
        self.changed(changed);
    }

    fn take(&mut self, seen: Seen<MessageTemplate>) {
        let changed = self.learn(seen);
        self.changed(changed);
    }

    /// Brings something into the catalog; a version that is known, such as the echo of our own status, changes nothing. Returns the templates of which
    /// something else is known now.
    fn learn(&mut self, seen: Seen<MessageTemplate>) -> Vec<Source> {
        let mut catalog = self.context.delivery.catalog_mut();
        match seen {
            Seen::Object(template) => {
                let Some(key) = ObjectKey::of(&*template) else { return Vec::new() };
                let known = catalog.template(&Source::Object(key.clone()));
                if known.is_some_and(|known| known.is_version(&template.metadata)) {
                    return Vec::new();
                }
                let changed = catalog.learn(&template);
                self.seen.insert(key, template);
                changed
            }
            Seen::Undecodable { key, problem, .. } => {
                tracing::warn!(template = %key, problem, "template cannot be decoded");
                self.seen.remove(&key);
                catalog.learn_undecodable(key, &problem)
            }
            Seen::Gone(key, _) => {
                self.seen.remove(&key);
                let source = Source::Object(key);
                self.checks.forget(&source);
                catalog.remove(&source)
            }
            Seen::Synced => Vec::new(),
        }
    }

    /// Tells of those that are known by now, and has the others checked.
    fn changed(&mut self, changed: impl IntoIterator<Item = Source>) {
        for source in changed {
            let known = self.context.delivery.catalog().template(&source).cloned();
            if known.as_ref().is_some_and(|known| known.checked().is_none()) {
                continue;
            }
            if let (Source::Object(key), Some(known)) = (&source, &known) {
                let seen = self.seen.remove(key).filter(|seen| known.is_version(&seen.metadata));
                let is_told = seen.is_some_and(|seen| {
                    status::render(seen.status.as_ref(), known, Timestamp::now()) == seen.status
                });
                if !is_told {
                    self.context.reports.push(key.clone());
                }
            }
            self.context.review_dependents(&Dependency::Template(source));
        }
        while let Some(check) = { self.context.delivery.catalog_mut().next_check() } {
            self.checks.begin(self.context, check);
        }
        if self.patience.is_some() && self.context.delivery.catalog().is_settled() {
            self.ready();
        }
    }

    fn ready(&mut self) {
        self.patience = None;
        self.context.pending.done("messagetemplates");
    }
}

/// What came of checking one.
type Checked = (Check, Result<Findings, Vec<TemplateProblem>>);

/// Checks under way. They end with the term.
#[derive(Default)]
struct Checks {
    tasks: JoinSet<Checked>,
    by_source: HashMap<Source, AbortHandle>,
}

impl Checks {
    /// Begins one, in place of an older one of the same template.
    fn begin(&mut self, context: &Context, check: Check) {
        let source = check.source.clone();
        self.forget(&source);
        let evaluator = context.delivery.evaluator.clone();
        let operator = context.delivery.cluster.operator_namespace().to_owned();
        let metrics = context.delivery.metrics.clone();
        let task = self.tasks.spawn(async move {
            let namespace = check.source.namespace().unwrap_or(&operator).to_owned();
            loop {
                match evaluator.check(&namespace, check.sources.clone()).await {
                    Ok(found) => {
                        if let Err(problems) = &found {
                            for problem in problems {
                                metrics.evaluation_ended(problem.reason);
                            }
                        }
                        return (check, found);
                    }
                    Err(unanswered) => {
                        tracing::debug!(template = %check.source, %unanswered, "not checked now");
                        tokio::time::sleep(AGAIN).await;
                    }
                }
            }
        });
        self.by_source.insert(source, task);
    }

    fn forget(&mut self, source: &Source) {
        if let Some(task) = self.by_source.remove(source) {
            task.abort();
        }
    }

    /// The next one that is done; waits for ever if none is under way.
    async fn next(&mut self) -> Checked {
        loop {
            match self.tasks.join_next().await {
                Some(Ok((check, found))) => {
                    if self.by_source.get(&check.source).is_some_and(AbortHandle::is_finished) {
                        self.by_source.remove(&check.source);
                    }
                    return (check, found);
                }
                // It was given up.
                Some(Err(_)) => {}
                None => std::future::pending().await,
            }
        }
    }
}

/// Writes the statuses of those of which something else is known, if it makes a difference to them.
async fn report(context: &Context) {
    let next = || context.reports.next(REPORTS);
    let reports = futures::stream::unfold((), |()| async { Some((next().await, ())) });
    reports
        .for_each_concurrent(REPORTS, |report| async move {
            let key = report.key.clone();
            let pulse = context.delivery.vitals.of(Loop::TemplateReports);
            pulse.begin();
            match context.delivery.cluster.message_template(&key).await {
                Ok(Some(template)) => tell(context, &key, &template).await,
                Ok(None) | Err(Error::Refused(_)) => {}
                Err(_) => {
                    tokio::time::sleep(Duration::from_secs(1)).await;
                    context.reports.push(key);
                }
            }
        })
        .await;
}

/// Tells on the object what is known of it.
async fn tell(context: &Context, key: &ObjectKey, template: &MessageTemplate) {
    match context.metrics.timed("messagetemplate", reconcile(context, key, template)).await {
        Ok(()) | Err(Error::NotFound) => {}
        Err(error @ (Error::Refused(_) | Error::TooLarge)) => {
            tracing::warn!(template = %key, %error, "status not stored");
        }
        // Also after a conflict: what has changed may be an annotation, which is no news of the template.
        Err(error) => {
            tracing::debug!(template = %key, %error, "status not stored; trying again");
            tokio::time::sleep(AGAIN).await;
            context.reports.push(key.clone());
        }
    }
}

async fn reconcile(context: &Context, key: &ObjectKey, template: &MessageTemplate) -> Result<(), Error> {
    // (pure) What the status should say. Of another version than is known, that one is on its way to us.
    let known = context.delivery.catalog().template(&Source::Object(key.clone())).cloned();
    let Some(known) = known.filter(|known| known.is_version(&template.metadata)) else { return Ok(()) };
    let Some(new) = status::render(template.status.as_ref(), &known, Timestamp::now()) else {
        return Ok(());
    };
    if template.status.as_ref() == Some(&new) {
        return Ok(());
    }
    // (writes) Status, and an Event if it changed sides.
    let version = template.metadata.resource_version.clone().unwrap_or_default();
    let old = template.status.as_ref();
    context.delivery.cluster.write_status::<MessageTemplate, _>(key, &version, old, &new).await?;
    let before = old.map(|old| old.conditions.as_slice()).unwrap_or_default();
    let usable = known.template().is_some();
    if ready_changed(before, &new.conditions) && (!usable || !before.is_empty()) {
        let severity = if usable { Severity::Normal } else { Severity::Warning };
        if let Some(ready) = conditions::find(&new.conditions, ConditionType::Ready) {
            let reason = Reason::parse(&ready.reason).unwrap_or(Reason::Valid);
            context.delivery.events.publish(template, severity, reason, &ready.message).await;
        }
    }
    Ok(())
}
