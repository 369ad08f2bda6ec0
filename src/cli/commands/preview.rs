//! `kubectl mail preview`: a template or a Notification as its recipients see it. Rendered here, by the code that the
//! operator renders with; nothing is sent, and no object is written.

mod file;
mod page;
mod subject;

use crate::api::shared::Values;
use crate::cli::failure::{Exit, Failure};
use crate::cli::flags::Flags;
use crate::cli::output;
use crate::cli::values::{assignment, parse_file};
use clap::Args;
use page::Page;
use std::io::Write;
use std::path::{Path, PathBuf};

/// Options of `preview`.
#[derive(Debug, Args)]
pub struct Preview {
    /// What to show: NAME or template/NAME, notification/NAME.
    #[arg(value_name = "WHAT", required_unless_present = "file", value_parser = subject::target)]
    what: Option<subject::Target>,
    /// File with a Notification, or with templates; - is standard input. May hold what these refer to.
    #[arg(long, short = 'f', value_name = "FILE", conflicts_with = "builtin")]
    file: Option<PathBuf>,
    /// The standard message as it is built in; no cluster is asked.
    #[arg(long)]
    builtin: bool,
    /// Language, as in de or pt-BR; all: one after the other.
    #[arg(long, value_name = "LOCALE")]
    locale: Option<String>,
    /// Value of a variable; may be repeated. Without it a template shows its examples.
    #[arg(long = "value", value_name = "NAME=VALUE", value_parser = assignment)]
    values: Vec<(String, String)>,
    /// File with values, YAML or JSON. --value wins.
    #[arg(long = "values", value_name = "FILE")]
    values_file: Option<PathBuf>,
    /// As this recipient gets it. Default: the first one.
    #[arg(long, value_name = "ADDRESS")]
    recipient: Option<String>,
    /// Write the HTML to a file.
    #[arg(long, value_name = "FILE")]
    html: Option<PathBuf>,
    /// Write a Notification's message to a file, byte for byte as it would leave; - is standard output.
    #[arg(long, value_name = "FILE")]
    eml: Option<PathBuf>,
    /// Show the HTML in the browser.
    #[arg(long)]
    open: bool,
}

impl Preview {
    /// Shows it. Bad if it has mistakes.
    pub async fn run(self, flags: &Flags) -> Result<Exit, Failure> {
        let Some(pages) = self.pages(flags).await? else { return Ok(Exit::Failed) };
        if let Some(format) = flags.output {
            let names: Vec<_> = pages.iter().map(|page| page.source.as_str()).collect();
            output::document(format, &names.join("\n"), &pages)?;
        }
        let several = pages.len() > 1;
        for page in &pages {
            if let Some(path) = &self.html {
                write(&numbered(path, page, several), page.html()?.as_bytes())?;
            }
            if let Some(path) = &self.eml {
                write(&numbered(path, page, several), page.bytes()?)?;
            }
            if self.open {
                open(page)?;
            }
        }
        if self.html.is_none() && self.eml.is_none() && !self.open && flags.output.is_none() {
            for (at, page) in pages.iter().enumerate() {
                if at > 0 {
                    output::say("");
                }
                page.print();
            }
        }
        Ok(Exit::Good)
    }

    /// Values of `--values` and those typed, as text.
    fn given(&self) -> Result<Values, Failure> {
        let Some(path) = &self.values_file else { return Ok(Values::new()) };
        parse_file(&read("--values", path)?)
    }
}

fn read(flag: &str, path: &Path) -> Result<String, Failure> {
    let read = if path == Path::new("-") {
        std::io::read_to_string(std::io::stdin())
    } else {
        std::fs::read_to_string(path)
    };
    read.map_err(|error| {
        Failure::new(Exit::Usage, format!("{flag}: reading {} failed: {error}", path.display()))
    })
}

/// One file for each language, where there are several: `news.html` becomes `news.de.html`.
fn numbered(path: &Path, page: &Page, several: bool) -> PathBuf {
    match (&page.locale, several && path != Path::new("-")) {
        (Some(locale), true) => {
            let extension = path.extension().map(|extension| extension.to_string_lossy().into_owned());
            path.with_extension(format!("{locale}.{}", extension.unwrap_or_default()).trim_end_matches('.'))
        }
        _ => path.to_owned(),
    }
}

fn write(path: &Path, bytes: &[u8]) -> Result<(), Failure> {
    if path == Path::new("-") {
        let mut stdout = std::io::stdout().lock();
        let written = stdout.write_all(bytes).and_then(|()| stdout.flush());
        return written.map_err(|error| {
            Failure::new(Exit::Failed, format!("writing to standard output failed: {error}"))
        });
    }
    std::fs::write(path, bytes)
        .map_err(|error| Failure::new(Exit::Failed, format!("writing {} failed: {error}", path.display())))?;
    output::note(&format!("written to {}", path.display()));
    Ok(())
}

/// The file stays: the browser reads it whenever it likes.
fn open(page: &Page) -> Result<(), Failure> {
    let failure =
        |error: std::io::Error| Failure::new(Exit::Failed, format!("showing the HTML failed: {error}"));
    let mut file = tempfile::Builder::new().prefix("preview-").suffix(".html").tempfile().map_err(failure)?;
    file.write_all(page.html()?.as_bytes()).map_err(failure)?;
    let (_, path) = file.keep().map_err(|error| failure(error.error))?;
    open::that_detached(&path).map_err(|error| {
        Failure::new(Exit::Failed, format!("no browser could be started: {error}"))
            .next(format!("the HTML is in {}", path.display()))
    })?;
    output::note(&format!("opened {}", path.display()));
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn each_language_has_a_file_of_its_own() {
        let page = |locale: Option<&str>| {
            // The other fields are the page's own business.
            let mut page = Page::default();
            page.locale = locale.map(Into::into);
            page
        };
        for (path, locale, several, expected) in [
            ("news.html", Some("de"), true, "news.de.html"),
            ("news", Some("de"), true, "news.de"),
            ("news.html", Some("de"), false, "news.html"),
            ("news.eml", None, true, "news.eml"),
            ("-", Some("de"), true, "-"),
        ] {
            assert_eq!(numbered(Path::new(path), &page(locale), several), Path::new(expected));
        }
    }
}
