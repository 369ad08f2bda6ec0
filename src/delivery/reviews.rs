//! Objects that somebody wants looked at again, each once however often it is asked for. Namespaces take turns, so that
//! nobody stands behind all that another one has.

use crate::delivery::lock;
use crate::domain::object::ObjectKey;
use std::collections::{HashMap, HashSet, VecDeque};
use std::sync::{Arc, Mutex};
use tokio::sync::Notify;

/// A queue without doubles.
#[derive(Default)]
pub struct Reviews {
    queue: Mutex<Queue>,
    news: Notify,
}

#[derive(Default)]
struct Queue {
    waiting: HashSet<ObjectKey>,
    /// Those of each namespace, in their order.
    by_namespace: HashMap<Arc<str>, VecDeque<ObjectKey>>,
    /// The namespaces in the order of their turns.
    turns: VecDeque<Arc<str>>,
    under_way: HashMap<Arc<str>, usize>,
}

/// A review under way, until it is dropped.
pub struct Review<'a> {
    reviews: &'a Reviews,
    /// What is reviewed.
    pub key: ObjectKey,
}

impl Reviews {
    /// Asks for a review.
    pub fn push(&self, key: ObjectKey) {
        lock(&self.queue).push(key);
        self.news.notify_one();
    }

    /// The next one of a namespace that has fewer than `share` of them under way; waits for it.
    pub async fn next(&self, share: usize) -> Review<'_> {
        loop {
            if let Some(key) = lock(&self.queue).pop(share) {
                return Review { reviews: self, key };
            }
            self.news.notified().await;
        }
    }

    /// How many wait.
    pub fn len(&self) -> usize {
        lock(&self.queue).waiting.len()
    }

    /// Whether none waits.
    pub fn is_empty(&self) -> bool {
        self.len() == 0
    }
}

impl Queue {
    fn push(&mut self, key: ObjectKey) {
        if !self.waiting.insert(key.clone()) {
            return;
        }
        let namespace = key.namespace.clone();
        if !self.by_namespace.contains_key(&namespace) {
            self.turns.push_back(namespace.clone());
        }
        self.by_namespace.entry(namespace).or_default().push_back(key);
    }

    fn pop(&mut self, share: usize) -> Option<ObjectKey> {
        let has_room =
            |namespace: &Arc<str>| self.under_way.get(namespace).is_none_or(|count| *count < share);
        let at = self.turns.iter().position(has_room)?;
        let namespace = self.turns.remove(at)?;
        let keys = self.by_namespace.get_mut(&namespace)?;
        let key = keys.pop_front()?;
        self.waiting.remove(&key);
        if keys.is_empty() {
            self.by_namespace.remove(&namespace);
        } else {
            self.turns.push_back(namespace.clone());
        }
        *self.under_way.entry(namespace).or_default() += 1;
        Some(key)
    }

    fn done(&mut self, namespace: &str) {
        if let Some(count) = self.under_way.get_mut(namespace) {
            *count = count.saturating_sub(1);
            if *count == 0 {
                self.under_way.remove(namespace);
            }
        }
    }
}

impl Drop for Review<'_> {
    fn drop(&mut self) {
        lock(&self.reviews.queue).done(&self.key.namespace);
        // One that waits may have its turn now.
        self.reviews.news.notify_one();
    }
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]
    use super::*;
    use futures::FutureExt;

    fn named(reviews: &Reviews, share: usize) -> Option<Review<'_>> {
        reviews.next(share).now_or_never()
    }

    #[tokio::test]
    async fn namespaces_take_turns_and_have_a_share() {
        let reviews = Reviews::default();
        for name in ["1", "2", "3", "3"] {
            reviews.push(ObjectKey::new("a", name));
        }
        reviews.push(ObjectKey::new("b", "1"));
        reviews.push(ObjectKey::new("b", "2"));
        assert_eq!(reviews.len(), 5, "each once");
        let mut under_way: Vec<_> = std::iter::from_fn(|| named(&reviews, 2)).collect();
        let keys: Vec<_> = under_way.iter().map(|review| review.key.to_string()).collect();
        assert_eq!(keys, ["a/1", "b/1", "a/2", "b/2"], "and no third of a");
        under_way.remove(1);
        assert!(named(&reviews, 2).is_none(), "room for b is none for a");
        under_way.remove(0);
        assert_eq!(named(&reviews, 2).unwrap().key, ObjectKey::new("a", "3"));
        assert!(reviews.is_empty());
        under_way.clear();
        assert!(lock(&reviews.queue).under_way.is_empty() && lock(&reviews.queue).by_namespace.is_empty());
        // Under way, it can be asked for again.
        reviews.push(ObjectKey::new("a", "1"));
        let first = named(&reviews, 2).unwrap();
        reviews.push(first.key.clone());
        assert_eq!(reviews.len(), 1);
    }

    #[tokio::test]
    async fn whoever_waits_hears_of_room() {
        let reviews = Reviews::default();
        reviews.push(ObjectKey::new("a", "1"));
        reviews.push(ObjectKey::new("a", "2"));
        let first = reviews.next(1).await;
        let (second, ()) = tokio::join!(reviews.next(1), async { drop(first) });
        assert_eq!(second.key, ObjectKey::new("a", "2"));
    }
}
