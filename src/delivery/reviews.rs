//! Notifications that somebody wants looked at again, each once however often it is asked for.

use crate::delivery::lock;
use crate::domain::object::ObjectKey;
use std::collections::{HashSet, VecDeque};
use std::sync::Mutex;
use tokio::sync::Notify;

/// A queue without doubles.
#[derive(Default)]
pub struct Reviews {
    queue: Mutex<(VecDeque<ObjectKey>, HashSet<ObjectKey>)>,
    news: Notify,
}

impl Reviews {
    /// Asks for a review.
    pub fn push(&self, key: ObjectKey) {
        let mut queue = lock(&self.queue);
        if queue.1.insert(key.clone()) {
            queue.0.push_back(key);
        }
        drop(queue);
        self.news.notify_one();
    }

    /// The next one; waits for it.
    pub async fn next(&self) -> ObjectKey {
        loop {
            if let Some(key) = self.pop() {
                return key;
            }
            self.news.notified().await;
        }
    }

    /// How many wait.
    pub fn len(&self) -> usize {
        lock(&self.queue).0.len()
    }

    /// Whether none waits.
    pub fn is_empty(&self) -> bool {
        self.len() == 0
    }

    fn pop(&self) -> Option<ObjectKey> {
        let mut queue = lock(&self.queue);
        let key = queue.0.pop_front()?;
        queue.1.remove(&key);
        Some(key)
    }
}
