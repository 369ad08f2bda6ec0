//! What people see. Colours only where standard output is a terminal and NO_COLOR is not set; machines get JSON, YAML
//! or names.

use crate::cli::failure::Failure;

/// Says on standard error why a command ended, and what to do.
pub fn explain_failure(failure: &Failure) {
    anstream::eprintln!("error: {}", failure.message);
    if let Some(next) = &failure.next {
        anstream::eprintln!("  {next}");
    }
}
