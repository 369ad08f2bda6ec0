//! What a template's name means: the template of the own namespace, else the operator's, else the standard message. So
//! an object of a standard message's name edits that message, and deleting it restores the standard text. Layouts are
//! found by the same rule, from the namespace of the template that names them.

use crate::api::Reason;
use crate::api::message_template::MessageTemplateSpec;
use crate::domain::access;
use crate::domain::catalog::{Catalog, KnownTemplate};
use crate::domain::object::ObjectKey;
use crate::domain::problem::{printable, summary};
use crate::domain::template::{Place, TemplateProblem};
use std::fmt;
use std::sync::Arc;

/// Most layouts around one template. A header and footer for all, one for a department, one for a kind of message: who
/// needs more than these has made a circle in his mind.
pub const MAX_LAYOUTS: usize = 8;

/// Where a template comes from.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Source {
    /// A MessageTemplate.
    Object(ObjectKey),
    /// The standard message of that name.
    BuiltIn(Arc<str>),
}

impl Source {
    /// A MessageTemplate.
    pub fn object(namespace: &str, name: &str) -> Self {
        Self::Object(ObjectKey::new(namespace, name))
    }

    /// A standard message.
    pub fn built_in(name: &str) -> Self {
        Self::BuiltIn(name.into())
    }

    /// The name without a namespace.
    pub fn name(&self) -> &str {
        match self {
            Self::Object(key) => &key.name,
            Self::BuiltIn(name) => name,
        }
    }

    /// The namespace of an object.
    pub fn namespace(&self) -> Option<&str> {
        match self {
            Self::Object(key) => Some(&key.namespace),
            Self::BuiltIn(_) => None,
        }
    }
}

impl fmt::Display for Source {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Object(key) => key.fmt(f),
            Self::BuiltIn(name) => write!(f, "built-in:{name}"),
        }
    }
}

/// A template and where it comes from.
pub type Found = (Source, Arc<KnownTemplate>);

impl Catalog {
    /// Where a name that is used in `namespace` is looked for, in this order.
    pub fn places(&self, namespace: &str, name: &str) -> Vec<Source> {
        let mut places = vec![Source::object(namespace, name)];
        let operator = self.operator_namespace();
        if operator != namespace && !operator.is_empty() {
            places.push(Source::object(operator, name));
        }
        places.push(Source::built_in(name));
        places
    }

    /// What the name means in `namespace`. A template of the operator's namespace that does not admit `namespace` is
    /// passed over: it would be a surprise if somebody else's object stood in the way of a standard message.
    pub fn look_up(&self, namespace: &str, name: &str) -> Option<Found> {
        self.first(self.places(namespace, name), namespace)
    }

    /// What the name of `source` would mean in its namespace if it were not there.
    pub fn overridden(&self, source: &Source) -> Option<Found> {
        let namespace = source.namespace()?;
        let places = self.places(namespace, source.name());
        self.first(places.into_iter().filter(|place| place != source), namespace)
    }

    fn first(&self, places: impl IntoIterator<Item = Source>, namespace: &str) -> Option<Found> {
        places.into_iter().find_map(|place| {
            let known = self.template(&place)?;
            self.admits(&place, known, namespace).then(|| (place, known.clone()))
        })
    }

    /// Whether Notifications of `namespace` may use the template. One of the operator's namespace with the name of a
    /// standard message is the standard message as this cluster wants it, and that is everybody's.
    pub fn admits(&self, source: &Source, known: &KnownTemplate, namespace: &str) -> bool {
        let Source::Object(key) = source else { return true };
        let edits_standard = *key.namespace == *self.operator_namespace() && self.is_standard(&key.name);
        let access = &known.spec.access.namespaces;
        edits_standard || access::permits(access, &key.namespace, namespace, self.namespaces.get(namespace))
    }

    /// Whether a standard message has that name.
    pub fn is_standard(&self, name: &str) -> bool {
        self.template(&Source::built_in(name)).is_some()
    }

    /// The layouts around a template, from the inside out.
    pub fn layouts(
        &self,
        source: &Source,
        spec: &MessageTemplateSpec,
    ) -> Result<Vec<Found>, TemplateProblem> {
        let mut chain: Vec<Found> = Vec::new();
        loop {
            let (inner, layout) = match chain.last() {
                Some((inner, known)) => (inner, &known.spec.layout),
                None => (source, &spec.layout),
            };
            let Some(layout) = layout else { break };
            // A standard message is the operator's, and so are its layouts.
            let namespace = inner.namespace().unwrap_or(self.operator_namespace());
            let mut places = self.places(namespace, &layout.name);
            // The template itself may not be known yet; what comes after it is not looked at.
            let itself = places.iter().position(|place| place == source);
            let itself = itself.map(|at| places.split_off(at));
            let Some(next) = self.first(places, namespace) else {
                return Err(match itself {
                    Some(_) => circle(source, &chain, source),
                    None => self.no_layout(namespace, &layout.name, (inner != source).then_some(inner)),
                });
            };
            if chain.iter().any(|(known, _)| *known == next.0) {
                return Err(circle(source, &chain, &next.0));
            }
            if chain.len() == MAX_LAYOUTS {
                let message = format!("more than {MAX_LAYOUTS} layouts wrap each other: leave some out");
                return Err(problem(Reason::LayoutCycle, message));
            }
            chain.push(next);
        }
        // The outermost one is the cause of what is wrong with those inside it.
        for (layout, known) in chain.iter().rev() {
            if !known.problems().is_empty() {
                let message = format!("the layout {layout} cannot be used: {}", summary(known.problems()));
                return Err(problem(Reason::LayoutInvalid, message));
            }
        }
        Ok(chain)
    }

    fn no_layout(&self, namespace: &str, name: &str, of: Option<&Source>) -> TemplateProblem {
        let of = of.map(|of| format!(", the layout of {of},")).unwrap_or_default();
        let operator = self.operator_namespace();
        let elsewhere = if operator == namespace || operator.is_empty() {
            String::new()
        } else {
            format!(", in the operator's namespace {operator}")
        };
        let message = format!(
            "MessageTemplate {name}{of} exists neither in namespace {namespace}{elsewhere} nor among the standard \
             messages: create it, and this template is checked again by itself"
        );
        problem(Reason::LayoutNotFound, message)
    }
}

fn circle(source: &Source, chain: &[Found], again: &Source) -> TemplateProblem {
    let way: Vec<_> = std::iter::once(source)
        .chain(chain.iter().map(|(layout, _)| layout))
        .chain([again])
        .map(Source::to_string)
        .collect();
    let message = format!("layouts wrap each other in a circle: {}", way.join(" in "));
    problem(Reason::LayoutCycle, message)
}

fn problem(reason: Reason, message: impl AsRef<str>) -> TemplateProblem {
    TemplateProblem {
        reason,
        layout: None,
        place: Place::Field("layout.name".into()),
        message: printable(message.as_ref(), 500),
    }
}

#[cfg(test)]
mod tests;
