//! The server is killed, stopped and started in the middle of everything.

use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::Duration;

use osapi_core::backend::nats::{Nats, NatsStore, Options};
use osapi_core::backend::{
    Bucket, Bus, BusError, Change, Cursor, Link, Prefix, Store, StoreError, Watch,
};
use osapi_core::id::AgentName;
use osapi_core::message::{Pattern, Subject};
use osapi_tests::{Fault, NatsServer, Proxy};
use tokio::task::JoinSet;
use tokio_util::sync::CancellationToken;

/// What a call may take while the server is away: its bound, and as much again for a machine that is busy.
const BOUND: Duration = Duration::from_secs(10);

#[tokio::test]
async fn while_the_server_is_away_everything_fails_at_once_and_recovers_by_itself() {
    let mut server = NatsServer::start();
    let nats = super::connect(&server).await;
    let (bus, store) = (nats.bus(), super::store(&server).await);
    let (mut link, mut store_link) = (bus.link(), store.link());
    let mut pings = bus.subscribe(&Pattern::Ping).await.unwrap();
    let key = super::key("k");
    server.kill();
    super::down(&mut link).await;
    super::down(&mut store_link).await;

    let begin = tokio::time::Instant::now();
    // More than the client library's queue holds.
    for _ in 0..3000 {
        let published = bus.publish(&Subject::Ping, "lost".into()).await;
        assert!(matches!(published, Err(BusError::Unavailable(_))), "{published:?}");
    }
    let unavailable = |result: Result<(), StoreError>| {
        assert!(matches!(result, Err(StoreError::Unavailable(_))), "{result:?}");
    };
    unavailable(store.create(Bucket::Jobs, &key, "v".into()).await.map(drop));
    unavailable(store.put(Bucket::Drains, &key, "v".into()).await.map(drop));
    unavailable(store.get(Bucket::Jobs, &key).await.map(drop));
    unavailable(store.get_latest(Bucket::Jobs, &key).await.map(drop));
    unavailable(store.head(Bucket::Jobs).await.map(drop));
    unavailable(store.purge(Bucket::Jobs, &Prefix::ALL).await.map(drop));
    unavailable(store.watch(Bucket::Jobs, &Prefix::ALL, None).await.map(drop));
    assert!(bus.subscribe(&Pattern::Ping).await.is_err());
    assert!(begin.elapsed() < BOUND, "nothing waits for a server that is known to be away");

    server.restart();
    super::up(&mut link).await;
    super::up(&mut store_link).await;
    // The subscription counts again as soon as the link is up.
    let other = super::connect(&server).await;
    other.bus().publish(&Subject::Ping, "back".into()).await.unwrap();
    let delivery = super::within("a message", pings.next()).await.unwrap();
    assert_eq!(delivery.payload, "back", "what failed was not sent later");
    store.create(Bucket::Jobs, &key, "v".into()).await.unwrap();
}

#[tokio::test]
async fn a_server_that_says_nothing_is_waited_for_no_longer_than_the_bound() {
    let server = NatsServer::start();
    let store = super::store(&server).await;
    server.freeze();
    let begin = tokio::time::Instant::now();
    let key = super::key("k");
    let (create, get, head) = tokio::join!(
        store.create(Bucket::Jobs, &key, "v".into()),
        store.get_latest(Bucket::Jobs, &key),
        store.head(Bucket::Jobs),
    );
    assert!(matches!(create, Err(StoreError::Unknown(_))), "it was sent: {create:?}");
    assert!(matches!(get, Err(StoreError::Unavailable(_))), "{get:?}");
    assert!(matches!(head, Err(StoreError::Unavailable(_))), "{head:?}");
    assert!(begin.elapsed() < BOUND, "{:?}", begin.elapsed());
    server.resume();
    // It was not lost, as it happens; a second attempt says so.
    let again = super::until("the server answers", async || {
        match store.create(Bucket::Jobs, &key, "v".into()).await {
            Err(StoreError::Unavailable(_) | StoreError::Unknown(_)) => None,
            settled => Some(settled),
        }
    });
    assert!(matches!(again.await, Err(StoreError::Exists)));
}

#[tokio::test]
async fn a_connection_on_which_nothing_comes_is_given_up() {
    let server = NatsServer::start();
    let nats = super::connect(&server).await;
    let mut link = nats.bus().link();
    server.freeze();
    super::down(&mut link).await;
    server.resume();
    super::up(&mut link).await;
    assert_eq!(*nats.bus().link().borrow(), Link::Up);
}

/// How many messages the only connection of this name has sent, as the server counts them.
fn sent(server: &NatsServer, name: &str) -> Option<u64> {
    let connections = server.monitor("/connz")?["connections"].take();
    let mut named = connections.as_array()?.iter().filter(|one| one["name"] == name);
    named.next()?["in_msgs"].as_u64()
}

#[tokio::test]
async fn a_connection_whose_words_get_lost_is_made_anew_however_much_comes() {
    let (server, name) = (NatsServer::start(), "web-01".parse::<AgentName>().unwrap());
    for (agent, its_name) in [(Some(name.clone()), "agent"), (None, "server")] {
        let proxy = Proxy::start(&server.address());
        let options = Options { agent, name: its_name.into(), ..super::options(&[proxy.url()]) };
        let nats = Nats::connect(options).await.unwrap();
        let mut inbox = nats.bus().subscribe(&Pattern::To(name.clone())).await.unwrap();
        let mut link = nats.bus().link();
        let other = super::connect(&server).await.bus();
        let subject = Subject::To(name.clone());
        let feed = async {
            loop {
                other.publish(&subject, "again".into()).await.unwrap();
                super::within("a message", inbox.next()).await.unwrap();
                tokio::time::sleep(Duration::from_millis(100)).await;
            }
        };
        let lost = async {
            let before = sent(&server, its_name).unwrap();
            super::until("it looks whether anybody hears it", async || {
                sent(&server, its_name).filter(|sent| *sent > before)
            })
            .await;
            proxy.set(Fault::Swallow, Fault::None);
            super::down(&mut link).await;
        };
        // As long as it is not made anew, everything comes that is sent to it.
        tokio::select! {
            () = feed => {}
            () = lost => {}
        }
        proxy.heal();
        super::up(&mut link).await;
    }
}

/// Writes one record after the other, through whatever happens, and returns those that were acknowledged, with their cursors.
async fn write(
    store: Arc<NatsStore>,
    writer: usize,
    stop: CancellationToken,
) -> BTreeMap<u64, String> {
    let mut acknowledged = BTreeMap::new();
    let mut n = 0;
    while !stop.is_cancelled() {
        let key = format!("w{writer}.k{n}");
        match store.create(Bucket::Claims, &super::key(&key), key.clone().into()).await {
            Ok(Cursor(cursor)) => {
                assert_eq!(acknowledged.insert(cursor, key), None, "a cursor is used once");
                n += 1;
            }
            // It may be its own, or have been written: the next one settles nothing about this one.
            Err(StoreError::Unknown(_) | StoreError::Exists) => n += 1,
            Err(StoreError::Unavailable(_)) => tokio::time::sleep(Duration::from_millis(20)).await,
            Err(error) => panic!("{error:?}"),
        }
    }
    acknowledged
}

/// What a watch tells up to a cursor; each once, in order.
async fn follow(mut watch: Watch, end: u64) -> BTreeMap<u64, String> {
    let (mut told, mut last, mut caught_up) = (BTreeMap::new(), 0, 0);
    while last < end {
        match super::within("a change", watch.next()).await.unwrap().unwrap() {
            Change::Put(entry) => {
                assert!(entry.cursor.0 > last, "in the order of cursors");
                last = entry.cursor.0;
                told.insert(last, String::from_utf8(entry.value.to_vec()).unwrap());
            }
            Change::CaughtUp(cursor) => {
                caught_up += 1;
                last = last.max(cursor.0);
            }
            Change::Reached(cursor) => last = cursor.0,
            Change::Deleted(key, _) => panic!("{key} was not removed"),
        }
    }
    assert_eq!(caught_up, 1, "that it has caught up is told once");
    told
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn what_was_acknowledged_survives_and_every_watch_tells_it() {
    let mut server = NatsServer::start();
    let (store, writing) = (super::store(&server).await, super::store(&server).await);
    let all = store.watch(Bucket::Claims, &Prefix::ALL, None).await.unwrap();
    let some = store.watch(Bucket::Claims, &super::under("w1"), None).await.unwrap();
    let (stop, mut writers) = (CancellationToken::new(), JoinSet::new());
    for writer in 0..4 {
        writers.spawn(write(Arc::clone(&writing), writer, stop.clone()));
    }
    for _ in 0..4 {
        let head = writing.head(Bucket::Claims).await.unwrap();
        super::until("writes go on", async || {
            let now = writing.head(Bucket::Claims).await.ok()?;
            (now.0 > head.0 + 200).then_some(())
        })
        .await;
        server.restart();
        super::up(&mut writing.link()).await;
    }
    stop.cancel();
    let acknowledged: BTreeMap<_, _> = writers.join_all().await.into_iter().flatten().collect();
    let head = super::until("the store answers", async || writing.head(Bucket::Claims).await.ok());
    let head = head.await.0;
    assert!(acknowledged.len() > 800, "{}", acknowledged.len());

    let (told, some) = tokio::join!(follow(all, head), follow(some, head));
    for (cursor, key) in &acknowledged {
        assert_eq!(told.get(cursor), Some(key), "an acknowledged write is told");
    }
    let of_one = |(_, key): &(&u64, &String)| key.starts_with("w1.");
    assert!(told.iter().filter(of_one).eq(some.iter()), "both tell the same");
}

#[tokio::test]
async fn a_store_that_went_back_calls_for_a_rescan() {
    let mut server = NatsServer::start();
    let store = super::store(&server).await;
    for n in 0..10 {
        let key = super::key(&format!("k{n}"));
        store.create(Bucket::Jobs, &key, "v".into()).await.unwrap();
    }
    let mut link = store.link();
    server.kill();
    super::down(&mut link).await;
    let (kept, earlier) = (server.path("store"), server.path("earlier"));
    copy(&kept, &earlier);
    server.restart();
    super::up(&mut link).await;
    let mut watch = store.watch(Bucket::Jobs, &Prefix::ALL, None).await.unwrap();
    for n in 10..20 {
        let key = super::key(&format!("k{n}"));
        store.create(Bucket::Jobs, &key, "v".into()).await.unwrap();
    }
    let mut last = 0;
    while last < 20 {
        if let Change::Put(entry) = watch.next().await.unwrap().unwrap() {
            last = entry.cursor.0;
        }
    }
    server.kill();
    super::down(&mut link).await;
    std::fs::remove_dir_all(&kept).unwrap();
    std::fs::rename(&earlier, &kept).unwrap();
    server.restart();
    let error = super::within("the watch ends", async {
        loop {
            match watch.next().await.unwrap() {
                Err(error) => break error,
                Ok(change) => assert!(!matches!(change, Change::Put(_)), "{change:?}"),
            }
        }
    });
    assert!(matches!(error.await, StoreError::Rescan));
    super::up(&mut store.link()).await;
    assert_eq!(
        store.head(Bucket::Jobs).await.unwrap(),
        Cursor(10),
        "it is the same store, as it was"
    );
}

fn copy(from: &std::path::Path, to: &std::path::Path) {
    std::fs::create_dir(to).unwrap();
    for entry in std::fs::read_dir(from).unwrap().flatten() {
        let (from, to) = (entry.path(), to.join(entry.file_name()));
        if from.is_dir() {
            copy(&from, &to);
        } else {
            std::fs::copy(from, to).unwrap();
        }
    }
}

#[tokio::test]
async fn a_store_that_was_replaced_takes_nothing_more() {
    let mut server = NatsServer::start();
    let store = super::store(&server).await;
    let mut link = store.link();
    server.kill();
    super::down(&mut link).await;
    server.wipe();
    server.restart();
    let gone = link.wait_for(|link| matches!(link, Link::Down(why) if why.contains("is gone")));
    drop(super::within("it is seen to be gone", gone).await.unwrap());
    // Another program makes a new one.
    super::store(&server).await;
    let another =
        link.wait_for(|link| matches!(link, Link::Down(why) if why.contains("another store")));
    drop(super::within("it is seen to be another", another).await.unwrap());
    let written = store.create(Bucket::Jobs, &super::key("k"), "v".into()).await;
    assert!(matches!(written, Err(StoreError::Unavailable(_))), "{written:?}");
}
