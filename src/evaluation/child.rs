//! A child process: reads questions from standard input and writes answers to standard output, until its parent closes the
//! pipe. The only place that evaluates what users wrote.

use super::TIME;
use super::frame::{self, Received, Said};
use super::limits;
use crate::domain::evaluation::{Loaded, answer};
use crate::domain::template::Stage;
use std::fs::File;
use std::io::{self, BufReader, Write};
use std::process::ExitCode;

/// Stack for work that nests deeply, in octets.
const STACK: usize = 16 << 20;

/// Works until there is no more to do. Ends with code 2 if the limits cannot be set: better no answer than one without
/// them.
pub fn run() -> ExitCode {
    if let Err(error) = limits::confine() {
        eprintln!("the limits of a child process cannot be set: {error}");
        return ExitCode::from(2);
    }
    // A message could hold a piece of what is evaluated; the parent sees that it crashed.
    std::panic::set_hook(Box::new(|_| {}));
    let work = std::thread::Builder::new().stack_size(STACK).spawn(|| {
        let more_time = || limits::allow_time(TIME.as_secs() + 1);
        work(&mut io::stdin().lock(), &mut answers()?, more_time)
    });
    match work.map(std::thread::JoinHandle::join) {
        Ok(Ok(Ok(()))) => ExitCode::SUCCESS,
        Ok(_) | Err(_) => ExitCode::FAILURE,
    }
}

/// Standard output as a file: as what the standard library makes of it, it would be written line by line, and the parent
/// woken for each part.
fn answers() -> io::Result<File> {
    #[cfg(unix)]
    return Ok(std::os::fd::AsFd::as_fd(&io::stdout()).try_clone_to_owned()?.into());
    #[cfg(windows)]
    return Ok(std::os::windows::io::AsHandle::as_handle(&io::stdout()).try_clone_to_owned()?.into());
}

/// Answers each question, after `begin`.
fn work(
    questions: &mut impl io::Read,
    answers: &mut impl Write,
    begin: impl Fn() -> io::Result<()>,
) -> io::Result<()> {
    let mut questions = BufReader::new(questions);
    let mut loaded = Loaded::default();
    while let Some(Received { question, sources, step_by_step }) = frame::read(&mut questions)? {
        begin()?;
        let steps = std::cell::RefCell::new(&mut *answers);
        let report = |stage: &Stage| {
            if step_by_step {
                // Whoever does not read it has ended this process already.
                let _ = frame::write(&mut **steps.borrow_mut(), &Said::Step(stage.clone()));
            }
        };
        let answer = answer(&question, sources.as_ref(), &mut loaded, &report);
        frame::write(answers, &Said::Done(answer))?;
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used, clippy::panic)]
    use super::super::frame::Request;
    use super::*;
    use crate::api::message_template::MessageTemplateSpec;
    use crate::domain::evaluation::{Answer, Question};
    use crate::domain::template::Sources;

    #[test]
    fn answers_in_order_and_reports_steps_if_asked_to() {
        let spec = serde_json::json!({ "subject": "Hello", "text": "{{ 1 + 1 }}", "html": "<p>{{ 2 }}</p>" });
        let spec: MessageTemplateSpec = serde_json::from_value(spec).unwrap();
        let check = Question::Check(Sources::bare(std::sync::Arc::new(spec)));
        let text = Question::Text("<p>Hello</p>".into());
        let mut asked = Vec::new();
        for (question, step_by_step) in [(&check, true), (&text, false)] {
            frame::write(&mut asked, &Request { question, sources: None, step_by_step }).unwrap();
        }
        let mut said = Vec::new();
        work(&mut asked.as_slice(), &mut said, || Ok(())).unwrap();
        let mut said = said.as_slice();
        let (mut steps, mut answers) = (0, Vec::new());
        while let Some(next) = frame::read::<Said>(&mut said).unwrap() {
            match next {
                Said::Step(_) => steps += 1,
                Said::Done(answer) => answers.push(answer),
            }
        }
        assert!(steps >= 4, "{steps}");
        let [Answer::Checked(Ok(_)), Answer::Text(Ok(text))] = answers.as_slice() else {
            panic!("{answers:?}")
        };
        assert_eq!(text.trim(), "Hello");
    }
}
