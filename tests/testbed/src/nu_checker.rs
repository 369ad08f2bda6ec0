//! The Nu HTML checker, the one behind validator.w3.org: what it has to say about pages. It is npm's, in the cache, and
//! runs in the machine's Java.

use crate::{
    command,
    error::{Error, Result},
    scratch::Scratch,
    tools,
};
use serde::Deserialize;
use std::path::Path;

/// Something the checker has to say.
#[derive(Debug, Clone)]
pub struct Remark {
    /// The page's name, as it was given.
    pub page: String,
    /// The line that it is about.
    pub line: u32,
    /// Whether it is an error, or only advice.
    pub is_error: bool,
    /// Its words.
    pub message: String,
    /// The piece of the page.
    pub extract: String,
}

#[derive(Deserialize)]
struct Report {
    messages: Vec<Finding>,
}

#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
struct Finding {
    #[serde(rename = "type")]
    kind: String,
    #[serde(default)]
    url: String,
    #[serde(default)]
    last_line: u32,
    message: String,
    #[serde(default)]
    extract: String,
}

/// Checks pages, given by name and content, in one run.
pub async fn remarks(pages: &[(String, String)]) -> Result<Vec<Remark>> {
    let jar = tools::nu_checker().await?;
    let scratch = Scratch::new("nu-checker")?;
    let mut arguments = vec!["-jar".to_owned(), jar.display().to_string()];
    arguments.extend(["--format", "json", "--stdout", "--exit-zero-always"].map(String::from));
    for (name, page) in pages {
        arguments.push(scratch.write(&format!("{name}.html"), page)?.display().to_string());
    }
    let arguments: Vec<&str> = arguments.iter().map(String::as_str).collect();
    if !tools::is_installed("java") {
        let remedy = "as root: apt-get install default-jre-headless";
        return Err(Error::Missing { program: "java".to_owned(), remedy: remedy.to_owned() });
    }
    let output = command::run(Path::new("java"), &arguments, &[], "").await?.success()?;
    let report: Report = serde_json::from_str(&output).map_err(|problem| {
        Error::Unexpected(format!("reading the Nu HTML checker's report: {problem}: {output}"))
    })?;
    Ok(report.messages.into_iter().map(Remark::from).collect())
}

impl From<Finding> for Remark {
    fn from(finding: Finding) -> Self {
        let Finding { kind, url, last_line, message, extract } = finding;
        let page = url.rsplit('/').next().unwrap_or_default().trim_end_matches(".html").to_owned();
        Self { page, line: last_line, is_error: kind != "info", message, extract }
    }
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used, clippy::indexing_slicing)]
    use super::*;

    #[tokio::test]
    async fn it_finds_what_is_wrong() {
        let page = |body: &str| {
            format!(
                "<!doctype html>\n<html lang=\"en\"><head><title>x</title></head><body>\n{body}</body></html>"
            )
        };
        let pages =
            [("good".to_owned(), page("<p>x</p>")), ("bad".to_owned(), page("<table><p>x</p></table>"))];
        let remarks = remarks(&pages).await.unwrap();
        assert!(!remarks.is_empty() && remarks.iter().all(|remark| remark.page == "bad"), "{remarks:?}");
        assert!(
            remarks[0].is_error && remarks[0].line == 3 && remarks[0].message.contains("table"),
            "{remarks:?}"
        );
    }
}
