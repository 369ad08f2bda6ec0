//! Whatever a token endpoint answers: a token only if it is a sane one, otherwise a failure in our own
//! words. Neither shows what the endpoint was told in secret.

use jiff::Timestamp;
use mail_operator::oauth::fuzzing::judge;

/// The first two bytes are the status, the rest is the body.
pub fn token(data: &[u8]) {
    let Some(([high, low], body)) = data.split_first_chunk() else { return };
    let status = match u16::from_be_bytes([*high, *low]) {
        status @ 100..=999 => status,
        _ => 200,
    };
    let now = Timestamp::from_second(1_800_000_000).expect("a time");
    match judge(status, body, now).expect("a client") {
        Ok(token) => {
            assert_eq!(status, 200);
            let text = token.access_token.expose();
            assert!(!text.is_empty() && text.bytes().all(|byte| byte.is_ascii_graphic()));
            let left = token.expires_at.duration_since(now).as_secs();
            assert!((60..=366 * 24 * 3600).contains(&left), "{left} s");
            let printed = format!("{token:?}");
            assert!(text.len() < 16 || !printed.contains(text), "a token prints itself");
        }
        Err(failure) => {
            let message = failure.to_string();
            assert!(message.chars().count() < 1_000 && !message.chars().any(char::is_control), "{message:?}");
            assert!(!format!("{failure:?}").contains("canary-client-secret"));
            assert!(failure.correlation_id.is_none_or(|id| id.len() == 36));
        }
    }
}
