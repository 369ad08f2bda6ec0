//! What is known of the cluster besides Notifications: mail servers, templates and the labels of
//! namespaces. Filled by the controllers, read whenever a Notification is looked at. A template depends on others, its
//! layouts and the one that it overrides; who changes one asks here whom it concerns.

use crate::api::Reason;
use crate::api::message_template::{MessageTemplate, MessageTemplateSpec};
use crate::domain::access::Labels;
use crate::domain::difference::differences;
use crate::domain::lookup::{Found, Source};
use crate::domain::object::ObjectKey;
use crate::domain::problem::{Problem, printable};
use crate::domain::server::Server;
use crate::domain::standard;
use crate::domain::template::{Layout, Place, Template, TemplateProblem};
use std::collections::{BTreeSet, HashMap, VecDeque};
use std::sync::Arc;

/// Servers, templates and namespaces as they were last seen.
#[derive(Debug, Default, Clone)]
pub struct Catalog {
    /// MailServerConfigs by name: fit for use, or their problems.
    pub servers: HashMap<ObjectKey, Result<Arc<Server>, Arc<[Problem]>>>,
    /// Labels of namespaces by name.
    pub namespaces: HashMap<String, Labels>,
    operator_namespace: Arc<str>,
    templates: HashMap<Source, Arc<KnownTemplate>>,
    /// Templates by the name of the layout that they ask for.
    users: HashMap<String, BTreeSet<Source>>,
    revision: u64,
}

/// A template, compiled.
#[derive(Debug)]
pub struct KnownTemplate {
    /// `metadata.uid`; `None` for a standard message.
    pub uid: Option<String>,
    /// Generation of the spec it was made from.
    pub generation: Option<i64>,
    /// As it was written, for those that it wraps as a layout.
    pub spec: Arc<MessageTemplateSpec>,
    /// Ready to be rendered, or everything that is wrong with it.
    pub template: Result<Template, Vec<TemplateProblem>>,
    /// The layouts that wrap it, from the inside out.
    pub layouts: Vec<Source>,
    /// What its name would mean without it, and where it differs from that.
    pub overrides: Option<(Source, Vec<String>)>,
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

/// A template before it is compiled, with all that takes. Compiling needs the catalog no more, so it can be done
/// elsewhere.
#[derive(Debug, Clone)]
pub struct Draft {
    /// Where it comes from.
    pub source: Source,
    uid: Option<String>,
    generation: Option<i64>,
    spec: Arc<MessageTemplateSpec>,
    layouts: Result<Vec<Found>, TemplateProblem>,
    overridden: Option<Found>,
}

impl Draft {
    /// Checks and compiles it. A hostile one takes up to a tenth of a second.
    pub fn compile(self) -> KnownTemplate {
        let template = match &self.layouts {
            Ok(layouts) => {
                let names: Vec<_> = layouts.iter().map(|(source, _)| source.to_string()).collect();
                let each = names.iter().zip(layouts);
                let layouts: Vec<_> =
                    each.map(|(name, (_, known))| Layout { name, spec: &known.spec }).collect();
                Template::compile(&self.spec, &layouts)
            }
            Err(problem) => Err(vec![problem.clone()]),
        };
        self.with(template)
    }

    /// Compiling it crashed.
    pub fn crashed(self) -> KnownTemplate {
        self.with(Err(vec![TemplateProblem::crashed()]))
    }

    fn with(self, template: Result<Template, Vec<TemplateProblem>>) -> KnownTemplate {
        let basis = Basis::of(&self.layouts, self.overridden.as_ref());
        let Self { source: _, uid, generation, spec, layouts, overridden } = self;
        let overrides = overridden.map(|(source, known)| (source, differences(&spec, &known.spec)));
        let layouts = layouts.into_iter().flatten().map(|(source, _)| source).collect();
        KnownTemplate { uid, generation, spec, template, layouts, overrides, basis, revision: 0 }
    }
}

impl Basis {
    fn of(layouts: &Result<Vec<Found>, TemplateProblem>, overridden: Option<&Found>) -> Self {
        let revision = |(source, known): &Found| (source.clone(), known.revision);
        Self {
            layouts: layouts
                .as_ref()
                .map(|layouts| layouts.iter().map(revision).collect())
                .map_err(Clone::clone),
            overridden: overridden
                .map(|(source, known)| (source.clone(), known.uid.clone(), known.generation)),
        }
    }
}

impl Catalog {
    /// Of an operator that runs in this namespace, with the standard messages compiled: not for an event loop.
    pub fn new(operator_namespace: &str) -> Self {
        let mut catalog = Self { operator_namespace: operator_namespace.into(), ..Self::default() };
        // Layouts first: whoever comes before its layout is compiled twice.
        let mut all: Vec<_> = standard::all().collect();
        all.sort_by_key(|(_, spec)| spec.layout.is_some());
        for (name, spec) in all {
            catalog.take(Source::built_in(name), None, None, Arc::new(spec.clone()));
        }
        catalog
    }

    /// A copy for an operator that runs in this namespace. Makes nothing anew: it is for catalogs that hold standard
    /// messages only.
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

    /// Brings a MessageTemplate in, and compiles whatever it concerns. The operator does the same step by step, beside
    /// its event loop.
    pub fn learn(&mut self, template: &MessageTemplate) {
        let Some(key) = ObjectKey::of(template) else { return };
        let metadata = &template.metadata;
        let spec = Arc::new(template.spec.clone());
        self.take(Source::Object(key), metadata.uid.clone(), metadata.generation, spec);
    }

    fn take(
        &mut self,
        source: Source,
        uid: Option<String>,
        generation: Option<i64>,
        spec: Arc<MessageTemplateSpec>,
    ) {
        let mut concerned: VecDeque<_> = self.concerned(&source).into();
        let draft = self.draft(source.clone(), uid, generation, spec);
        self.store(source, draft.compile());
        while let Some(next) = concerned.pop_front() {
            let Some(draft) = self.redraft(&next) else { continue };
            self.store(next.clone(), draft.compile());
            concerned.extend(self.concerned(&next));
        }
    }

    /// What a template is made from as things are.
    pub fn draft(
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

    /// The same for one that is known; `None` if it would come out as it is.
    pub fn redraft(&self, source: &Source) -> Option<Draft> {
        let known = self.template(source).filter(|known| !known.is_undecodable())?;
        let draft = self.draft(source.clone(), known.uid.clone(), known.generation, known.spec.clone());
        let basis = Basis::of(&draft.layouts, draft.overridden.as_ref());
        (basis != known.basis).then_some(draft)
    }

    /// Brings a compiled template in.
    pub fn store(&mut self, source: Source, mut known: KnownTemplate) {
        self.forget(&source);
        self.revision += 1;
        known.revision = self.revision;
        if let Some(layout) = &known.spec.layout {
            self.users.entry(layout.name.clone()).or_default().insert(source.clone());
        }
        self.templates.insert(source, Arc::new(known));
    }

    /// A template is gone.
    pub fn forget(&mut self, source: &Source) {
        let Some(known) = self.templates.remove(source) else { return };
        let Some(layout) = &known.spec.layout else { return };
        if let Some(users) = self.users.get_mut(&layout.name) {
            users.remove(source);
            if users.is_empty() {
                self.users.remove(&layout.name);
            }
        }
    }

    /// Templates that may have to be made anew because this one came, changed or went: those that name it as their
    /// layout, and those that override it. Those that use these come next, once these are made.
    pub fn concerned(&self, source: &Source) -> Vec<Source> {
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

    /// The templates of a namespace that look beyond it, and so depend on whom others admit.
    pub fn outward(&self, namespace: &str) -> Vec<ObjectKey> {
        let keys = self.templates.keys().filter_map(|source| match source {
            Source::Object(key) if *key.namespace == *namespace => Some(key),
            _ => None,
        });
        keys.cloned().collect()
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
            template: Err(vec![problem]),
            layouts: Vec::new(),
            overrides: None,
            basis: Basis { layouts: Ok(Vec::new()), overridden: None },
            revision: 0,
        }
    }

    fn is_undecodable(&self) -> bool {
        self.template
            .as_ref()
            .is_err_and(|problems| problems.iter().any(|problem| problem.reason == Reason::Undecodable))
    }
}
