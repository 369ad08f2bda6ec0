//! What is known of the cluster besides Notifications: mail servers, templates and the labels of
//! namespaces. Filled by the controllers, read whenever a Notification is looked at. A template depends on others, its
//! layouts and the one that it overrides: when one changes, those that it concerns are made again. Nothing is compiled
//! here; [`Catalog::next_check`] says what is to be checked elsewhere.

use crate::api::Reason;
use crate::api::message_template::{MessageTemplate, MessageTemplateSpec};
use crate::domain::access::Labels;
use crate::domain::difference::differences;
use crate::domain::lookup::{Found, Source};
use crate::domain::object::ObjectKey;
use crate::domain::problem::{Problem, printable};
use crate::domain::server::Server;
use crate::domain::standard;
use crate::domain::template::{Findings, Place, Sources, Template, TemplateProblem, Wrap};
use kube::api::ObjectMeta;
use std::collections::{BTreeSet, HashMap, VecDeque};
use std::sync::Arc;

/// Servers, templates and namespaces as they were last seen.
#[derive(Debug, Default, Clone)]
pub struct Catalog {
    /// MailServerConfigs by name: fit for use, or their problems.
    pub servers: HashMap<ObjectKey, Result<Arc<Server>, Arc<[Problem]>>>,
    /// Labels of namespaces by name.
    pub namespaces: HashMap<String, Labels>,
    /// Whether Notifications may name servers and templates of their own namespace only.
    pub own_namespace_only: bool,
    operator_namespace: Arc<str>,
    templates: HashMap<Source, Arc<KnownTemplate>>,
    /// Templates that are to be checked and that nobody checks yet.
    unchecked: BTreeSet<Source>,
    /// Templates by the name of the layout that they ask for.
    users: HashMap<String, BTreeSet<Source>>,
    revision: u64,
}

/// A template, and what was found out about it.
#[derive(Debug)]
pub struct KnownTemplate {
    /// `metadata.uid`; `None` for a standard message.
    pub uid: Option<String>,
    /// Generation of the spec it was made from.
    pub generation: Option<i64>,
    /// As it was written, for those that it wraps as a layout.
    pub spec: Arc<MessageTemplateSpec>,
    /// The layouts that wrap it, from the inside out.
    pub layouts: Vec<Source>,
    /// What its name would mean without it, and where it differs from that.
    pub overrides: Option<(Source, Vec<String>)>,
    /// Ready to be rendered, or everything that is wrong with it. `None`: not checked yet.
    checked: Option<Result<Template, Vec<TemplateProblem>>>,
    basis: Basis,
    /// No two that are made have the same.
    revision: u64,
}

/// What a template was made from besides its own texts.
#[derive(Debug, Clone, PartialEq)]
struct Basis {
    layouts: Result<Vec<(Source, u64)>, TemplateProblem>,
    /// With uid and generation, and not the revision: only its spec counts, and its layouts may lead back here.
    overridden: Option<(Source, Option<String>, Option<i64>)>,
}

/// A template that is to be checked. That needs the catalog no more, so it is done elsewhere.
#[derive(Debug, Clone)]
pub struct Check {
    /// Which one.
    pub source: Source,
    /// Its texts.
    pub sources: Sources,
    revision: u64,
}

/// What a template is made from as things are.
struct Draft {
    source: Source,
    uid: Option<String>,
    generation: Option<i64>,
    spec: Arc<MessageTemplateSpec>,
    layouts: Result<Vec<Found>, TemplateProblem>,
    overridden: Option<Found>,
}

impl Draft {
    fn basis(&self) -> Basis {
        let revision = |(source, known): &Found| (source.clone(), known.revision);
        Basis {
            layouts: self
                .layouts
                .as_ref()
                .map(|layouts| layouts.iter().map(revision).collect())
                .map_err(Clone::clone),
            overridden: self
                .overridden
                .as_ref()
                .map(|(source, known)| (source.clone(), known.uid.clone(), known.generation)),
        }
    }
}

impl Catalog {
    /// Of an operator that runs in this namespace, with the standard messages, which are still to be checked.
    pub fn new(operator_namespace: &str) -> Self {
        let mut catalog = Self { operator_namespace: operator_namespace.into(), ..Self::default() };
        for (name, spec) in standard::all() {
            catalog.take(Source::built_in(name), None, None, Arc::new(spec.clone()));
        }
        let all: Vec<_> = catalog.templates.keys().cloned().collect();
        for source in all {
            catalog.reconsider(&source);
        }
        catalog
    }

    /// A copy for an operator that runs in this namespace: for catalogs that hold standard messages only.
    #[must_use]
    pub fn in_namespace(&self, operator_namespace: &str) -> Self {
        Self { operator_namespace: operator_namespace.into(), ..self.clone() }
    }

    /// The namespace that the operator runs in.
    pub fn operator_namespace(&self) -> &str {
        &self.operator_namespace
    }

    /// A template by where it comes from.
    pub fn template(&self, source: &Source) -> Option<&Arc<KnownTemplate>> {
        self.templates.get(source)
    }

    /// All templates, in no order.
    pub fn templates(&self) -> impl Iterator<Item = (&Source, &Arc<KnownTemplate>)> {
        self.templates.iter()
    }

    /// Brings a MessageTemplate in. It is still to be checked; those that depend on it are looked at once it is. Returns the templates of which something else is known now.
    pub fn learn(&mut self, template: &MessageTemplate) -> Vec<Source> {
        let Some(key) = ObjectKey::of(template) else { return Vec::new() };
        let (source, metadata) = (Source::Object(key), &template.metadata);
        let spec = Arc::new(template.spec.clone());
        self.take(source.clone(), metadata.uid.clone(), metadata.generation, spec);
        self.cascade(source)
    }

    /// Brings in an object that does not fit our types.
    pub fn learn_undecodable(&mut self, key: ObjectKey, problem: &str) -> Vec<Source> {
        let source = Source::Object(key);
        self.store(source.clone(), KnownTemplate::undecodable(problem));
        self.cascade(source)
    }

    /// A template is gone.
    pub fn remove(&mut self, source: &Source) -> Vec<Source> {
        self.forget(source);
        self.cascade(source.clone())
    }

    /// Looks at a template again whose surroundings may have changed.
    pub fn reconsider(&mut self, source: &Source) -> Vec<Source> {
        if self.redraft(source) { self.cascade(source.clone()) } else { Vec::new() }
    }

    /// A template that is to be checked, and whose layouts are. Nobody else gets it.
    pub fn next_check(&mut self) -> Option<Check> {
        let ready = |source: &&Source| {
            let known = self.template(source);
            known.is_some_and(|known| known.layouts.iter().all(|layout| !self.is_unchecked(layout)))
        };
        let source = self.unchecked.iter().find(ready)?.clone();
        self.unchecked.remove(&source);
        let known = self.template(&source)?;
        let wrap = |layout: &Source| {
            Some(Wrap { name: layout.to_string(), spec: self.template(layout)?.spec.clone() })
        };
        let layouts = known.layouts.iter().filter_map(wrap).collect();
        let sources = Sources { spec: known.spec.clone(), layouts };
        Some(Check { source, sources, revision: known.revision })
    }

    /// What came of a check, unless the template has changed meanwhile. Returns the templates of which something else
    /// is known now, this one first.
    pub fn settle(&mut self, check: Check, found: Result<Findings, Vec<TemplateProblem>>) -> Vec<Source> {
        let Check { source, sources, revision } = check;
        let Some(known) = self.templates.get(&source).filter(|known| known.revision == revision) else {
            return Vec::new();
        };
        let checked = found.and_then(|findings| Template::new(sources, findings));
        let KnownTemplate { uid, generation, spec, layouts, overrides, basis, .. } = &**known;
        let settled = KnownTemplate {
            uid: uid.clone(),
            generation: *generation,
            spec: spec.clone(),
            layouts: layouts.clone(),
            overrides: overrides.clone(),
            checked: Some(checked),
            basis: basis.clone(),
            revision: 0,
        };
        self.store(source.clone(), settled);
        self.cascade(source)
    }

    /// Whether templates are still to be checked, here or where they were handed out to.
    pub fn is_settled(&self) -> bool {
        self.templates.values().all(|known| known.checked.is_some())
    }

    /// The templates of a namespace that look beyond it, and so depend on whom others admit.
    pub fn outward(&self, namespace: &str) -> Vec<ObjectKey> {
        let keys = self.templates.keys().filter_map(|source| match source {
            Source::Object(key) if *key.namespace == *namespace => Some(key),
            _ => None,
        });
        keys.cloned().collect()
    }

    fn is_unchecked(&self, source: &Source) -> bool {
        self.template(source).is_some_and(|known| known.checked.is_none())
    }

    /// Makes those again that depend on one that has changed, and those that depend on these. A template that is still
    /// to be checked changes nothing for others yet.
    fn cascade(&mut self, changed: Source) -> Vec<Source> {
        let mut all = vec![changed.clone()];
        let mut queue = VecDeque::from([changed]);
        while let Some(source) = queue.pop_front() {
            if self.is_unchecked(&source) {
                continue;
            }
            for concerned in self.concerned(&source) {
                if self.redraft(&concerned) {
                    all.push(concerned.clone());
                    queue.push_back(concerned);
                }
            }
        }
        all
    }

    fn take(
        &mut self,
        source: Source,
        uid: Option<String>,
        generation: Option<i64>,
        spec: Arc<MessageTemplateSpec>,
    ) {
        let draft = self.draft(source, uid, generation, spec);
        self.put(draft);
    }

    fn draft(
        &self,
        source: Source,
        uid: Option<String>,
        generation: Option<i64>,
        spec: Arc<MessageTemplateSpec>,
    ) -> Draft {
        let layouts = self.layouts(&source, &spec);
        let overridden = self.overridden(&source);
        Draft { source, uid, generation, spec, layouts, overridden }
    }

    /// Makes a known template again. `false`: it would come out as it is.
    fn redraft(&mut self, source: &Source) -> bool {
        let Some(known) = self.template(source).filter(|known| !known.is_undecodable()) else { return false };
        let draft = self.draft(source.clone(), known.uid.clone(), known.generation, known.spec.clone());
        let news = draft.basis() != known.basis;
        if news {
            self.put(draft);
        }
        news
    }

    fn put(&mut self, draft: Draft) {
        let basis = draft.basis();
        let Draft { source, uid, generation, spec, layouts, overridden } = draft;
        let overrides = overridden.map(|(source, known)| (source, differences(&spec, &known.spec)));
        let (layouts, checked) = match layouts {
            Ok(layouts) => (layouts.into_iter().map(|(source, _)| source).collect(), None),
            Err(problem) => (Vec::new(), Some(Err(vec![problem]))),
        };
        let known = KnownTemplate { uid, generation, spec, layouts, overrides, checked, basis, revision: 0 };
        self.store(source, known);
    }

    fn store(&mut self, source: Source, mut known: KnownTemplate) {
        self.forget(&source);
        self.revision += 1;
        known.revision = self.revision;
        if let Some(layout) = &known.spec.layout {
            self.users.entry(layout.name.clone()).or_default().insert(source.clone());
        }
        if known.checked.is_none() {
            self.unchecked.insert(source.clone());
        }
        self.templates.insert(source, Arc::new(known));
    }

    fn forget(&mut self, source: &Source) {
        self.unchecked.remove(source);
        let Some(known) = self.templates.remove(source) else { return };
        let Some(layout) = &known.spec.layout else { return };
        if let Some(users) = self.users.get_mut(&layout.name) {
            users.remove(source);
            if users.is_empty() {
                self.users.remove(&layout.name);
            }
        }
    }

    /// Templates that may have to be made again because this one came, changed or went: those that name it as their
    /// layout, and those that override it. Those that use these come next, once these are made.
    fn concerned(&self, source: &Source) -> Vec<Source> {
        let everywhere = source.namespace().is_none_or(|namespace| *namespace == *self.operator_namespace);
        let within_reach =
            |other: &Source| other != source && (everywhere || other.namespace() == source.namespace());
        let users = self.users.get(source.name()).into_iter().flatten();
        let mut concerned: Vec<_> = users.filter(|user| within_reach(user)).cloned().collect();
        if everywhere {
            let same = |other: &&Source| other.name() == source.name() && *other != source;
            concerned.extend(self.templates.keys().filter(same).cloned());
        }
        concerned
    }
}

impl KnownTemplate {
    /// An object that does not fit our types. It still stands for its name: a standard message that somebody edited
    /// must not go out with its standard text because the edited one cannot be read.
    pub fn undecodable(problem: &str) -> Self {
        let spec = MessageTemplateSpec {
            description: None,
            locale: "en".into(),
            subject: String::new(),
            text: None,
            html: None,
            mjml: None,
            layout: None,
            translations: Vec::new(),
            variables: Vec::new(),
            access: crate::api::message_template::TemplateAccess::default(),
        };
        let problem = TemplateProblem {
            reason: Reason::Undecodable,
            layout: None,
            place: Place::Field("spec".into()),
            message: printable(&format!("does not fit this version: {problem}"), 500),
        };
        Self {
            uid: None,
            generation: None,
            spec: Arc::new(spec),
            layouts: Vec::new(),
            overrides: None,
            checked: Some(Err(vec![problem])),
            basis: Basis { layouts: Ok(Vec::new()), overridden: None },
            revision: 0,
        }
    }

    /// Ready to be rendered, or everything that is wrong with it. `None`: not checked yet.
    pub fn checked(&self) -> Option<Result<&Template, &[TemplateProblem]>> {
        self.checked.as_ref().map(|checked| checked.as_ref().map_err(Vec::as_slice))
    }

    /// The template, if it can be used.
    pub fn template(&self) -> Option<&Template> {
        self.checked.as_ref().and_then(|checked| checked.as_ref().ok())
    }

    /// What is known to be wrong with it.
    pub fn problems(&self) -> &[TemplateProblem] {
        self.checked
            .as_ref()
            .and_then(|checked| checked.as_ref().err())
            .map(Vec::as_slice)
            .unwrap_or_default()
    }

    /// Whether it was made from this version of an object.
    pub fn is_version(&self, metadata: &ObjectMeta) -> bool {
        self.generation == metadata.generation && self.uid == metadata.uid
    }

    fn is_undecodable(&self) -> bool {
        self.problems().iter().any(|problem| problem.reason == Reason::Undecodable)
    }
}
