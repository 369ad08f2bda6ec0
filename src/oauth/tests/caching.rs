//! What the cache does: one request for many, renewal, and which requests share a token.

use super::*;

#[tokio::test]
async fn fifty_at_once_share_one_request() {
    for answer in [Answer::token("t", 3600), Answer::error(401, "invalid_client", "no")] {
        let setup = Arc::new(setup().await);
        let Answer::Full(response) = answer else { panic!() };
        let fails = response.status != 200;
        // Slow enough that all of them come while it is under way.
        setup.server.otherwise(Answer::Slow(response, Duration::from_millis(1)));
        let ask = |_| {
            let setup = Arc::clone(&setup);
            tokio::spawn(async move { setup.get(0).await })
        };
        let results: Vec<_> = futures::future::try_join_all((0..50).map(ask)).await.unwrap();
        assert!(results.iter().all(|result| result.is_err() == fails && *result == results[0]));
        assert_eq!(setup.server.requests().len(), 1);
        // A failure is not kept: who comes later asks anew.
        assert_eq!(setup.get(0).await.is_err(), fails);
        assert_eq!(setup.server.requests().len(), if fails { 2 } else { 1 });
    }
}

#[tokio::test]
async fn somebody_else_goes_on_when_the_one_who_asks_is_cancelled() {
    let setup = setup().await;
    setup.server.then(Answer::Stall);
    let asking = async {
        tokio::select! {
            biased;
            result = setup.get(0) => panic!("{result:?}"),
            () = requests(&setup.server, 1) => {}
        }
    };
    let ((), waiting) = tokio::join!(asking, setup.get(0));
    assert_eq!(waiting.unwrap().access_token.expose(), "opaque-token");
    assert_eq!(setup.server.requests().len(), 2);
}

#[tokio::test]
async fn renewal_at_four_fifths_of_the_life() {
    let setup = setup().await;
    setup.server.then(Answer::token("one", 1000)).then(Answer::token("two", 1000));
    for (now, token) in [(0, "one"), (1, "one"), (749, "one"), (851, "two"), (851 + 749, "two")] {
        assert_eq!(setup.get(now).await.unwrap().access_token.expose(), token, "after {now} s");
    }
    assert_eq!(setup.server.requests().len(), 2);
}

#[tokio::test]
async fn a_failed_renewal_keeps_the_token_until_its_last_minute() {
    let setup = setup().await;
    setup.server.then(Answer::token("one", 1000)).otherwise(Answer::error(401, "invalid_client", ""));
    for (now, requests) in [(0, 1), (851, 2), (880, 2), (912, 3)] {
        assert_eq!(setup.get(now).await.unwrap().access_token.expose(), "one", "after {now} s");
        assert_eq!(setup.server.requests().len(), requests, "after {now} s");
    }
    assert_eq!(setup.get(941).await.unwrap_err().reason, Reason::InvalidClientSecret);
}

#[tokio::test]
async fn never_less_than_a_minute() {
    let setup = setup().await;
    setup.server.then(Answer::token("one", 70)).then(Answer::token("two", 70));
    for (now, token) in [(0, "one"), (10, "one"), (11, "two")] {
        let got = setup.get(now).await.unwrap();
        assert_eq!(got.access_token.expose(), token, "after {now} s");
        assert!(got.expires_at.duration_since(at(now)) >= SignedDuration::from_secs(60));
    }
}

#[tokio::test]
async fn a_renewal_under_way_delays_nobody() {
    let setup = setup().await;
    setup.server.then(Answer::token("one", 1000));
    setup.get(0).await.unwrap();
    setup.server.then(Answer::Stall);
    let meanwhile = async {
        requests(&setup.server, 2).await;
        setup.get(851).await.unwrap()
    };
    tokio::select! {
        biased;
        result = setup.get(851) => panic!("the endpoint is silent: {result:?}"),
        token = meanwhile => assert_eq!(token.access_token.expose(), "one"),
    }
}

#[tokio::test]
async fn a_refused_token_is_replaced_once() {
    let setup = setup().await;
    setup.server.then(Answer::token("one", 3600)).then(Answer::token("two", 3600));
    let key = setup.request.key();
    let one = setup.get(0).await.unwrap();
    setup.tokens.invalidate(&key, &one);
    let two = setup.get(1).await.unwrap();
    setup.tokens.invalidate(&key, &one); // a second session, refused with the same old token
    assert_eq!(setup.get(2).await.unwrap(), two);
    assert_eq!(setup.server.requests().len(), 2);
}

#[tokio::test]
async fn what_counts_as_another_token() {
    type Change = fn(&mut TokenRequest);
    let changes: [(Change, bool); 8] = [
        (|_| {}, true),
        (|request| request.versions[0].resource_version = "2".into(), false),
        (|request| request.versions[0].uid = "other".into(), false),
        (|request| request.token_url.set_path("/other"), false),
        (|request| request.client_id = "app-2".into(), false),
        (|request| request.scopes.clear(), false),
        (|request| request.parameters.clear(), false),
        (|request| request.proof = secret(ClientAuthentication::Detect), true),
    ];
    for (number, (change, same)) in changes.into_iter().enumerate() {
        let mut setup = setup().await;
        setup.server.then(Answer::token("one", 3600)).then(Answer::token("two", 3600));
        setup.get(0).await.unwrap();
        change(&mut setup.request);
        let token = setup.get(0).await.unwrap();
        assert_eq!(token.access_token.expose() == "one", same, "change {number}");
    }
}
