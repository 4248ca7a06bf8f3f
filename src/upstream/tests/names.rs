//! Names and their addresses, by a DNS server of a few lines.

use std::net::{IpAddr, Ipv4Addr, SocketAddr};
use std::sync::Mutex;
use std::sync::atomic::{AtomicUsize, Ordering};

use hickory_resolver::TokioResolver;
use hickory_resolver::config::{ConnectionConfig, NameServerConfig, ResolverConfig};
use hickory_resolver::net::runtime::TokioRuntimeProvider;
use tokio::net::UdpSocket;

use super::super::{names, resolve};
use super::*;
use crate::office::OfficeRuntime;

/// What the DNS server says of every name.
#[derive(Clone, Debug)]
struct Zone {
    addresses: Vec<Ipv4Addr>,
    ttl: u32,
    /// It is silent.
    down: bool,
}

#[derive(Debug)]
struct Dns {
    address: SocketAddr,
    zone: Arc<Mutex<Zone>>,
    questions: Arc<AtomicUsize>,
}

impl Dns {
    async fn start(addresses: &[[u8; 4]], ttl: u32) -> Arc<Self> {
        let socket = UdpSocket::bind("127.0.0.1:0").await.unwrap();
        let dns = Self {
            address: socket.local_addr().unwrap(),
            zone: Arc::new(Mutex::new(Zone {
                addresses: addresses.iter().copied().map(Ipv4Addr::from).collect(),
                ttl,
                down: false,
            })),
            questions: Arc::default(),
        };
        let (zone, questions) = (dns.zone.clone(), dns.questions.clone());
        tokio::spawn(async move {
            let mut packet = [0; 1500];
            while let Ok((length, client)) = socket.recv_from(&mut packet).await {
                let zone = zone.lock().unwrap().clone();
                if zone.down {
                    continue;
                }
                questions.fetch_add(1, Ordering::SeqCst);
                let _ = socket.send_to(&reply(&packet[..length], &zone), client).await;
            }
        });
        Arc::new(dns)
    }

    fn change(&self, change: impl FnOnce(&mut Zone)) {
        change(&mut self.zone.lock().unwrap());
    }
}

/// RFC 1035 section 4: the question again, and the answers that point to its name.
fn reply(question: &[u8], zone: &Zone) -> Vec<u8> {
    let name_end = 12 + question[12..].iter().position(|byte| *byte == 0).unwrap() + 1;
    let is_a = question[name_end..name_end + 2] == [0, 1];
    let addresses = if is_a { &zone.addresses[..] } else { &[] };
    let mut reply = question[..2].to_vec();
    reply.extend([0x81, 0x80, 0, 1, 0, u8::try_from(addresses.len()).unwrap(), 0, 0, 0, 0]);
    reply.extend(&question[12..name_end + 4]);
    for address in addresses {
        reply.extend([0xc0, 12, 0, 1, 0, 1]);
        reply.extend(zone.ttl.to_be_bytes());
        reply.extend([0, 4]);
        reply.extend(address.octets());
    }
    reply
}

impl Names for Dns {
    fn look_up<'a>(&'a self, host: &'a str) -> Pin<Box<dyn Future<Output = io::Result<Answer>> + Send + 'a>> {
        Box::pin(async move {
            let mut udp = ConnectionConfig::udp();
            udp.port = self.address.port();
            let server = NameServerConfig::new(self.address.ip(), true, vec![udp]);
            let config = ResolverConfig::from_parts(None, Vec::new(), vec![server]);
            let mut builder = TokioResolver::builder_with_config(config, TokioRuntimeProvider::default());
            builder.options_mut().timeout = Duration::from_millis(200);
            builder.options_mut().attempts = 1;
            names::answer(&builder.build().map_err(io::Error::other)?, host).await
        })
    }
}

fn resolver(names: Arc<dyn Names>) -> Arc<resolve::Resolver> {
    Arc::new(resolve::Resolver::new("app.test", 80, names))
}

async fn known(resolver: &resolve::Resolver) -> Vec<IpAddr> {
    let addresses = resolver.addresses().await.unwrap();
    addresses.iter().map(SocketAddr::ip).collect()
}

fn ip(last: u8) -> IpAddr {
    IpAddr::from([127, 0, 0, last])
}

#[tokio::test]
async fn the_ttl_is_the_names_own_and_answers_are_remembered_for_it() {
    let dns = Dns::start(&[[127, 0, 0, 2], [127, 0, 0, 3]], 30).await;
    let answer = dns.look_up("app.test").await.unwrap();
    assert_eq!(
        (answer.addresses, answer.ttl),
        (vec![ip(2), ip(3)], Duration::from_secs(30))
    );
    let asked = dns.questions.load(Ordering::SeqCst);
    let resolver = resolver(dns.clone());
    assert!(resolver.is_named());
    for _ in 0..10 {
        assert_eq!(known(&resolver).await, [ip(2), ip(3)]);
    }
    // One for each family.
    assert_eq!(dns.questions.load(Ordering::SeqCst) - asked, 2);
    dns.change(|zone| zone.addresses.clear());
    assert!(dns.look_up("app.test").await.is_err());
}

#[tokio::test]
async fn a_name_without_addresses_is_not_asked_for_by_each_request() {
    let dns = Dns::start(&[], 30).await;
    let resolver = resolver(dns.clone());
    assert!(resolver.addresses().await.is_err());
    let asked = dns.questions.load(Ordering::SeqCst);
    for _ in 0..10 {
        let error = resolver.addresses().await.unwrap_err();
        assert!(error.to_string().contains("a moment ago"), "{error}");
    }
    assert_eq!(dns.questions.load(Ordering::SeqCst), asked);
    // Once there is one, it is found.
    dns.change(|zone| zone.addresses = vec![[127, 0, 0, 2].into()]);
    let found = async {
        loop {
            if let Ok(addresses) = resolver.addresses().await {
                return addresses;
            }
            tokio::time::sleep(Duration::from_millis(20)).await;
        }
    };
    let found = tokio::time::timeout(LONG, found).await.unwrap();
    assert_eq!(found[..], [SocketAddr::new(ip(2), 80)]);
}

#[tokio::test]
async fn an_address_is_no_name() {
    let literal = resolve::Resolver::new("::1", 81, Arc::new(names::NoNames));
    assert!(!literal.is_named());
    assert_eq!(literal.addresses().await.unwrap()[..], ["[::1]:81".parse().unwrap()]);
}

#[tokio::test]
async fn a_name_that_moves_is_followed_and_a_name_service_that_fails_changes_nothing() {
    let dns = Dns::start(&[[127, 0, 0, 2]], 0).await;
    let resolver = resolver(dns.clone());
    assert!(resolver.keep() && !resolver.keep());
    tokio::spawn(resolve::keep_fresh(Arc::downgrade(&resolver)));
    assert_eq!(known(&resolver).await, [ip(2)]);
    dns.change(|zone| zone.addresses = vec![[127, 0, 0, 3].into()]);
    // The shortest time is a second. Nobody asks: it is kept fresh.
    let moved = async {
        while !resolver.holds(SocketAddr::new(ip(3), 80)) {
            tokio::time::sleep(Duration::from_millis(10)).await;
        }
    };
    tokio::time::timeout(LONG, moved).await.unwrap();
    assert!(!resolver.holds(SocketAddr::new(ip(2), 80)));
    dns.change(|zone| zone.down = true);
    tokio::time::sleep(Duration::from_millis(1500)).await;
    assert_eq!(known(&resolver).await, [ip(3)]);
}

#[tokio::test]
async fn a_name_service_that_hangs_costs_the_connect_timeout_and_no_more() {
    let dns = Dns::start(&[], 1).await;
    dns.change(|zone| zone.down = true);
    let names: Arc<dyn Names> = dns;
    let (listener, _) = listen(Protocol::Http).await;
    let mut settings = settings(vec![named(&listener)]);
    settings.connect_timeout = SHORT;
    let tools = Tools {
        names: &names,
        metrics: &Metrics::new(1),
    };
    let upstream = Upstream::build(None, &settings, tools).unwrap();
    let error = failed(upstream.send(get("/"), 0).await);
    assert_eq!((error.kind, error.started), (Kind::Timeout, false), "{error}");
}

/// A server by its name on this listener's port.
fn named(listener: &TcpListener) -> Server {
    let place = Place::Tcp {
        host: "app.test".into(),
        port: listener.local_addr().unwrap().port(),
    };
    let protocol = Protocol::Http;
    Server { protocol, place }
}

/// Answers with the address that it listens at.
async fn tell_address(listener: TcpListener) {
    let address = listener.local_addr().unwrap().ip().to_string();
    loop {
        let (mut stream, _) = listener.accept().await.unwrap();
        let address = address.clone();
        tokio::spawn(async move {
            loop {
                let mut seen = Vec::new();
                while !seen.ends_with(b"\r\n\r\n") {
                    match stream.read_u8().await {
                        Ok(byte) => seen.push(byte),
                        Err(_) => return,
                    }
                }
                let answer = format!("HTTP/1.1 200 OK\r\ncontent-length: {}\r\n\r\n{address}", address.len());
                stream.write_all(answer.as_bytes()).await.unwrap();
            }
        });
    }
}

#[test]
fn connections_follow_their_name_and_are_spread_over_its_addresses() {
    let office = OfficeRuntime::start().unwrap();
    alone().block_on(async {
        let one = TcpListener::bind("127.0.0.2:0").await.unwrap();
        let port = one.local_addr().unwrap().port();
        let other = TcpListener::bind(("127.0.0.3", port)).await.unwrap();
        let server = named(&one);
        tokio::spawn(tell_address(one));
        tokio::spawn(tell_address(other));
        // Nobody listens at the last one.
        let dns = Dns::start(&[[127, 0, 0, 2], [127, 0, 0, 3], [127, 0, 0, 4]], 1).await;
        let names: Arc<dyn Names> = dns.clone();
        let settings = [settings(vec![server])];
        let tools = Tools {
            names: &names,
            metrics: &Metrics::new(1),
        };
        let upstreams = Upstreams::rebuild(&Upstreams::default(), &settings, tools).unwrap();
        upstreams.watch(&office.office());
        let upstream = upstreams.get("test").unwrap();
        let mut open = Vec::new();
        for _ in 0..6 {
            open.push(upstream.send(get("/"), 0).await.unwrap());
        }
        let mut seen = Vec::new();
        for response in open {
            seen.push(text(response).await);
        }
        for address in ["127.0.0.2", "127.0.0.3"] {
            assert!(seen.iter().filter(|one| *one == address).count() >= 2, "{seen:?}");
        }
        assert_eq!(idle(&upstream.peers()[0]), 6);
        // The name moves: idle connections to where it was are dropped, new ones go where it is.
        dns.change(|zone| zone.addresses = vec![[127, 0, 0, 3].into()]);
        let moved = async {
            loop {
                sweep(std::time::Instant::now());
                let answer = text(upstream.send(get("/"), 0).await.unwrap()).await;
                if idle(&upstream.peers()[0]) < 6 {
                    return answer;
                }
                tokio::time::sleep(Duration::from_millis(20)).await;
            }
        };
        tokio::time::timeout(LONG, moved).await.unwrap();
        for _ in 0..6 {
            assert_eq!(text(upstream.send(get("/"), 0).await.unwrap()).await, "127.0.0.3");
        }
    });
    office.stop(Duration::from_secs(1));
}

#[tokio::test]
async fn an_address_that_swallows_packets_does_not_hold_up_the_others() {
    // A queue of connections that is full answers nothing, as a firewall would.
    let (listener, _) = listen(Protocol::Http).await;
    let port = listener.local_addr().unwrap().port();
    let socket = tokio::net::TcpSocket::new_v4().unwrap();
    socket.bind(SocketAddr::new(ip(9), port)).unwrap();
    let full = socket.listen(1).unwrap();
    let mut stuck = Vec::new();
    while let Ok(Ok(stream)) = tokio::time::timeout(
        Duration::from_millis(200),
        TcpStream::connect(full.local_addr().unwrap()),
    )
    .await
    {
        stuck.push(stream);
    }
    let dns = Dns::start(&[[127, 0, 0, 9], [127, 0, 0, 1]], 30).await;
    let names: Arc<dyn Names> = dns;
    let mut settings = settings(vec![named(&listener)]);
    settings.connect_timeout = LONG;
    settings.retries = 0;
    let tools = Tools {
        names: &names,
        metrics: &Metrics::new(1),
    };
    let upstream = Upstream::build(None, &settings, tools).unwrap();
    tokio::spawn(tell_address(listener));
    let response = tokio::time::timeout(LONG / 3, upstream.send(get("/"), 0))
        .await
        .unwrap();
    assert_eq!(text(response.unwrap()).await, "127.0.0.1");
}
