//! A template as the program knows it once it was checked: what it takes to compile it again, and what was found. No
//! text of it is evaluated here.

use super::{Layout, TemplateProblem, check};
use crate::api::message_template::MessageTemplateSpec;
use crate::domain::locale::Locale;
use crate::domain::values::Variables;
use serde::{Deserialize, Serialize};
use sha2::{Digest, Sha256};
use std::collections::BTreeSet;
use std::sync::Arc;

/// A template that parses, uses declared names only and renders with its examples. Shared cheaply.
#[derive(Debug, Clone)]
pub struct Template(Arc<Checked>);

#[derive(Debug)]
struct Checked {
    id: TemplateID,
    sources: Sources,
    findings: Findings,
    variables: Variables,
}

/// The texts of a template and of the layouts that wrap it, from the inside out.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Sources {
    /// As it was written.
    pub spec: Arc<MessageTemplateSpec>,
    /// The layouts.
    pub layouts: Vec<Wrap>,
}

/// A layout of [`Sources`].
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Wrap {
    /// Its name, for problems.
    pub name: String,
    /// As it was written.
    pub spec: Arc<MessageTemplateSpec>,
}

/// The digest of [`Sources`]: the same for the same texts, in whichever object and generation they are.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
pub struct TemplateID([u8; 32]);

/// What checking a template found.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Findings {
    /// Its languages, its own first.
    pub locales: Vec<Locale>,
    /// The declared names that its texts and its layouts use.
    pub names: BTreeSet<String>,
    /// Whether it uses `content`.
    pub is_layout: bool,
}

impl Sources {
    /// The layouts, as compiling takes them.
    pub fn layouts(&self) -> Vec<Layout<'_>> {
        self.layouts.iter().map(|Wrap { name, spec }| Layout { name, spec }).collect()
    }

    /// Names these texts.
    pub fn id(&self) -> TemplateID {
        // Specs came from JSON, so they become JSON again.
        let bytes = serde_json::to_vec(self).unwrap_or_default();
        TemplateID(Sha256::digest(bytes).into())
    }
}

impl Template {
    /// Of texts that were checked. Variables are read once more: they are data, and nothing is evaluated for them.
    pub fn new(sources: Sources, findings: Findings) -> Result<Self, Vec<TemplateProblem>> {
        let mut problems = Vec::new();
        match check::variables(&sources.spec, &sources.layouts(), &mut problems) {
            Some(variables) => Ok(Self(Arc::new(Checked { id: sources.id(), sources, findings, variables }))),
            None => Err(problems),
        }
    }

    /// Names its texts.
    pub fn id(&self) -> TemplateID {
        self.0.id
    }

    /// What it takes to compile it again.
    pub fn sources(&self) -> &Sources {
        &self.0.sources
    }

    /// Whether it uses `content`: it then wraps other templates and cannot be sent itself.
    pub fn is_layout(&self) -> bool {
        self.0.findings.is_layout
    }

    /// Its languages, its own first.
    pub fn locales(&self) -> impl Iterator<Item = &Locale> {
        self.0.findings.locales.iter()
    }

    /// The declared names that its texts and its layouts use, sorted. Built-in names are not among them.
    pub fn names(&self) -> impl Iterator<Item = &str> {
        self.0.findings.names.iter().map(String::as_str)
    }

    /// Its variables and those of its layouts, against which the values of a Notification are checked.
    pub fn variables(&self) -> &Variables {
        &self.0.variables
    }
}
