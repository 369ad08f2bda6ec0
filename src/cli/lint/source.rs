//! What lint reads: files, folders with everything below, standard input. It follows no links to folders, looks into
//! no hidden folder, and leaves the templates of charts alone, which are no YAML yet.

use crate::cli::failure::{Exit, Failure};
use std::io::Read;
use std::path::{Path, PathBuf};

/// A file that was read.
#[derive(Debug, Clone)]
pub struct Source {
    /// Its path as people wrote it, with what folders added.
    pub name: String,
    /// What is in it.
    pub bytes: Vec<u8>,
    /// Whether it was found in a folder. Then what is no manifest may stand in it.
    pub found: bool,
}

/// Everything that was read.
#[derive(Debug, Clone, Default)]
pub struct Sources {
    /// The files, in order, each once.
    pub files: Vec<Source>,
    /// Folders of charts whose templates were left alone.
    pub charts: Vec<String>,
}

/// Reads everything that is named. Fails if something of it cannot be read.
pub fn read(paths: &[PathBuf]) -> Result<Sources, Failure> {
    let mut reading = Reading::default();
    for path in paths {
        if path.as_os_str() == "-" {
            reading.standard_input();
        } else {
            reading.path(path, false);
        }
    }
    if reading.unreadable.is_empty() {
        return Ok(reading.sources);
    }
    let message = format!("reading failed: {}", reading.unreadable.join("; "));
    Err(Failure::new(Exit::Usage, message))
}

#[derive(Default)]
struct Reading {
    sources: Sources,
    unreadable: Vec<String>,
}

impl Reading {
    fn standard_input(&mut self) {
        let mut bytes = Vec::new();
        match std::io::stdin().lock().read_to_end(&mut bytes) {
            Ok(_) => self.keep(crate::cli::lint::STDIN.into(), bytes, false),
            Err(error) => self.unreadable.push(format!("standard input: {error}")),
        }
    }

    fn path(&mut self, path: &Path, found: bool) {
        let kind = std::fs::metadata(path);
        match kind {
            Ok(kind) if kind.is_dir() => self.folder(path),
            Ok(_) => match std::fs::read(path) {
                Ok(bytes) => {
                    // `lint .` names files as the tools that read its output do.
                    let name = path.strip_prefix(".").unwrap_or(path).display().to_string();
                    self.keep(name, bytes, found);
                }
                Err(error) => self.unreadable.push(format!("{}: {error}", path.display())),
            },
            Err(error) => self.unreadable.push(format!("{}: {error}", path.display())),
        }
    }

    fn folder(&mut self, path: &Path) {
        let entries = std::fs::read_dir(path).and_then(Iterator::collect::<std::io::Result<Vec<_>>>);
        let mut entries = match entries {
            Ok(entries) => entries,
            Err(error) => {
                self.unreadable.push(format!("{}: {error}", path.display()));
                return;
            }
        };
        entries.sort_by_key(std::fs::DirEntry::file_name);
        let is_chart = path.join("Chart.yaml").is_file();
        for entry in entries {
            let name = entry.file_name();
            let name = name.to_string_lossy();
            let is_folder = entry.file_type().is_ok_and(|kind| kind.is_dir());
            let path = entry.path();
            if name.starts_with('.') {
                continue;
            }
            if is_folder && is_chart && name == "templates" {
                self.sources.charts.push(path.display().to_string());
            } else if is_folder {
                self.folder(&path);
            } else if has_manifests(&path) && path.is_file() {
                self.path(&path, true);
            }
        }
    }

    fn keep(&mut self, name: String, bytes: Vec<u8>, found: bool) {
        if !self.sources.files.iter().any(|known| known.name == name) {
            self.sources.files.push(Source { name, bytes, found });
        }
    }
}

fn has_manifests(path: &Path) -> bool {
    path.extension().is_some_and(|extension| {
        ["yaml", "yml", "json"].iter().any(|known| extension.eq_ignore_ascii_case(known))
    })
}
