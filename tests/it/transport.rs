//! TLS and proxies: the copy that works over plain loopback also works over what stands in front of AWS.
//!
//! A TLS server with a certificate authority of the test's own stands before the sandbox; a CONNECT proxy writes
//! down whom it was asked for. Certificates are made here, byte by byte, so that none ever runs out.

use std::net::SocketAddr;
use std::path::Path;
use std::process::Command;
use std::sync::{Arc, Mutex};

use aws_lc_rs::rand::SystemRandom;
use aws_lc_rs::signature::{ECDSA_P256_SHA256_ASN1_SIGNING, EcdsaKeyPair, KeyPair};
use tokio::io::{AsyncBufReadExt, AsyncWriteExt, BufReader, copy_bidirectional};
use tokio::net::{TcpListener, TcpStream};
use tokio_rustls::TlsAcceptor;
use tokio_rustls::rustls::ServerConfig;
use tokio_rustls::rustls::crypto::aws_lc_rs::default_provider;
use tokio_rustls::rustls::pki_types::{CertificateDer, PrivateKeyDer, PrivatePkcs8KeyDer};

use crate::support::{BLOCK, World};

/// 1 GiB with a few blocks.
const SMALL: &str = "us-east-1:snap-0feed000000b00701";

mod der {
    //! As much of DER as a certificate needs.

    pub fn tlv(tag: u8, content: &[u8]) -> Vec<u8> {
        let length = content.len();
        let mut out = vec![tag];
        match u8::try_from(length) {
            Ok(short) if short < 128 => out.push(short),
            Ok(byte) => out.extend([0x81, byte]),
            Err(_) => out.extend([0x82, (length >> 8) as u8, length as u8]),
        }
        out.extend(content);
        out
    }
    pub fn sequence(parts: &[Vec<u8>]) -> Vec<u8> {
        tlv(0x30, &parts.concat())
    }
    pub fn bits(content: &[u8]) -> Vec<u8> {
        tlv(0x03, &[&[0], content].concat())
    }
    /// An extension: its identifier, whether it must be understood, its value.
    pub fn extension(id: &[u8], critical: bool, value: &[u8]) -> Vec<u8> {
        let critical = if critical { tlv(0x01, &[0xFF]) } else { Vec::new() };
        sequence(&[tlv(0x06, id), critical, tlv(0x04, value)])
    }
    pub fn name(common: &str) -> Vec<u8> {
        sequence(&[tlv(0x31, &sequence(&[tlv(0x06, &[0x55, 4, 3]), tlv(0x0C, common.as_bytes())]))])
    }
}

fn key() -> EcdsaKeyPair {
    EcdsaKeyPair::generate(&ECDSA_P256_SHA256_ASN1_SIGNING).expect("a key")
}

/// A certificate of `subject`'s key, signed by `issuer`.
fn certificate(subject: (&str, &EcdsaKeyPair), issuer: (&str, &EcdsaKeyPair), extensions: &[Vec<u8>]) -> Vec<u8> {
    const ECDSA_SHA256: [u8; 8] = [0x2A, 0x86, 0x48, 0xCE, 0x3D, 4, 3, 2];
    const EC_KEY: [u8; 7] = [0x2A, 0x86, 0x48, 0xCE, 0x3D, 2, 1];
    const P256: [u8; 8] = [0x2A, 0x86, 0x48, 0xCE, 0x3D, 3, 1, 7];
    let algorithm = der::sequence(&[der::tlv(0x06, &ECDSA_SHA256)]);
    let curve = der::sequence(&[der::tlv(0x06, &EC_KEY), der::tlv(0x06, &P256)]);
    let tbs = der::sequence(&[
        der::tlv(0xA0, &der::tlv(0x02, &[2])),
        der::tlv(0x02, &[1]),
        algorithm.clone(),
        der::name(issuer.0),
        der::sequence(&[der::tlv(0x17, b"200101000000Z"), der::tlv(0x18, b"20991231235959Z")]),
        der::name(subject.0),
        der::sequence(&[curve, der::bits(subject.1.public_key().as_ref())]),
        der::tlv(0xA3, &der::sequence(extensions)),
    ]);
    let signature = issuer.1.sign(&SystemRandom::new(), &tbs).expect("signed");
    der::sequence(&[tbs, algorithm, der::bits(signature.as_ref())])
}

/// A server's configuration, and the authority that its clients have to trust, as a PEM file.
fn trusted(bundle: &Path) -> ServerConfig {
    let (authority, server) = (key(), key());
    let is_authority = der::extension(&[0x55, 0x1D, 19], true, &der::sequence(&[der::tlv(0x01, &[0xFF])]));
    let names = [
        der::tlv(0x82, b"localhost"),
        der::tlv(0x82, b"aws.floe.test"),
        der::tlv(0x87, &[0, 0, 0, 0]),
        der::tlv(0x87, &[127, 0, 0, 1]),
    ];
    let names = der::extension(&[0x55, 0x1D, 17], false, &der::sequence(&names));
    let (root, leaf) = (("floe test authority", &authority), ("floe test server", &server));
    let encoded = base64_simd::STANDARD.encode_to_string(certificate(root, root, &[is_authority]));
    let pem = format!("-----BEGIN CERTIFICATE-----\n{}\n-----END CERTIFICATE-----\n", lines(&encoded));
    std::fs::write(bundle, pem).expect("the bundle");
    let chain = vec![CertificateDer::from(certificate(leaf, root, &[names]))];
    let secret = server.to_pkcs8v1().expect("the key").as_ref().to_vec();
    let secret = PrivateKeyDer::from(PrivatePkcs8KeyDer::from(secret));
    ServerConfig::builder_with_provider(Arc::new(default_provider()))
        .with_safe_default_protocol_versions()
        .expect("protocols")
        .with_no_client_auth()
        .with_single_cert(chain, secret)
        .expect("a certificate that fits its key")
}

fn lines(text: &str) -> String {
    text.as_bytes().chunks(64).map(|line| String::from_utf8_lossy(line).into_owned()).collect::<Vec<_>>().join("\n")
}

/// A certificate that vouches for itself, and its key, as PEM files.
fn own_certificate(certificate_at: &Path, key_at: &Path) {
    let server = key();
    let address = der::extension(&[0x55, 0x1D, 17], false, &der::sequence(&[der::tlv(0x87, &[127, 0, 0, 1])]));
    let pem = |kind: &str, bytes: &[u8]| {
        let encoded = base64_simd::STANDARD.encode_to_string(bytes);
        format!("-----BEGIN {kind}-----\n{}\n-----END {kind}-----\n", lines(&encoded))
    };
    let who = ("floe test server", &server);
    std::fs::write(certificate_at, pem("CERTIFICATE", &certificate(who, who, &[address]))).expect("the certificate");
    let secret = server.to_pkcs8v1().expect("the key");
    std::fs::write(key_at, pem("PRIVATE KEY", secret.as_ref())).expect("the key");
}

/// What stands before the sandbox: TLS, and a proxy that sends whatever it is asked for to the TLS server.
struct Front {
    world: World,
    tls: SocketAddr,
    proxy: SocketAddr,
    asked: Arc<Mutex<Vec<String>>>,
}

impl Front {
    async fn new() -> Self {
        let world = World::calm().await;
        let acceptor = TlsAcceptor::from(Arc::new(trusted(&world.path("ca.pem"))));
        let (sandbox, asked) = (world.running.addr, Arc::<Mutex<Vec<String>>>::default());
        let tls = listen(move |stream| {
            let acceptor = acceptor.clone();
            async move {
                // A client that does not trust us hangs up here.
                let Ok(mut inside) = acceptor.accept(stream).await else { return };
                let mut outside = TcpStream::connect(sandbox).await.expect("the sandbox");
                let _ = copy_bidirectional(&mut inside, &mut outside).await;
            }
        })
        .await;
        let heard = Arc::clone(&asked);
        let proxy = listen(move |stream| tunnel(stream, tls, Arc::clone(&heard))).await;
        Self { world, tls, proxy, asked }
    }

    /// floe against `endpoint`, with the bundle; its environment holds nothing else of this kind.
    fn copy(&self, endpoint: &str, to: &str) -> Command {
        let mut command = self.world.floe_at(endpoint, &["copy", SMALL, to, "--yes", "--foreground", "-q"]);
        command.env("AWS_CA_BUNDLE", self.world.path("ca.pem"));
        command
    }

    /// Runs it; the hosts that the proxy was asked for meanwhile.
    async fn run(&self, mut command: Command) -> (std::process::Output, Vec<String>) {
        self.asked.lock().expect("asked").clear();
        let output = tokio::task::spawn_blocking(move || command.output().expect("floe runs")).await.expect("it ends");
        let mut asked = std::mem::take(&mut *self.asked.lock().expect("asked"));
        asked.dedup();
        (output, asked)
    }
}

/// Serves each connection in a task of its own, for as long as the test's runtime lives.
async fn listen<F: Future<Output = ()> + Send + 'static>(
    serve: impl Fn(TcpStream) -> F + Send + 'static,
) -> SocketAddr {
    let listener = TcpListener::bind("127.0.0.1:0").await.expect("a port");
    let address = listener.local_addr().expect("its address");
    tokio::spawn(async move {
        while let Ok((stream, _)) = listener.accept().await {
            tokio::spawn(serve(stream));
        }
    });
    address
}

/// One CONNECT, answered and tunnelled.
async fn tunnel(stream: TcpStream, tls: SocketAddr, asked: Arc<Mutex<Vec<String>>>) {
    let mut inside = BufReader::new(stream);
    let mut first = String::new();
    let mut line = String::new();
    while inside.read_line(&mut line).await.expect("a line") > 2 {
        if first.is_empty() {
            first = line.trim().to_owned();
        }
        line.clear();
    }
    asked.lock().expect("asked").push(first);
    let mut outside = TcpStream::connect(tls).await.expect("the TLS server");
    inside.write_all(b"HTTP/1.1 200 Connection established\r\n\r\n").await.expect("answered");
    let _ = copy_bidirectional(&mut inside, &mut outside).await;
}

fn text(output: &std::process::Output) -> String {
    String::from_utf8_lossy(&output.stderr).into_owned()
}

#[tokio::test(flavor = "multi_thread")]
async fn a_copy_goes_through_tls_that_the_bundle_trusts_and_through_no_other() {
    let front = Front::new().await;
    let endpoint = format!("https://localhost:{}", front.tls.port());
    let image = front.world.path("disk.img");
    let (output, _) = front.run(front.copy(&endpoint, &image.display().to_string())).await;
    assert!(output.status.success(), "{}", text(&output));
    let found = std::fs::read(&image).expect("the image");
    let wanted = front.world.contents("prod", "us-east-1", SMALL.rsplit_once(':').expect("an id").1).await;
    assert!(!wanted.is_empty());
    for (index, digest) in wanted {
        let at = index as usize * BLOCK;
        assert_eq!(crate::support::sha256(&found[at..at + BLOCK]), digest, "block {index}");
    }

    let mut distrustful = front.copy(&endpoint, "null:");
    distrustful.env_remove("AWS_CA_BUNDLE");
    let (output, _) = front.run(distrustful).await;
    assert!(!output.status.success());
    assert!(text(&output).contains("ertificate"), "it says why: {}", text(&output));
}

#[tokio::test(flavor = "multi_thread")]
async fn a_copy_goes_through_a_proxy_unless_no_proxy_names_the_host() {
    let front = Front::new().await;
    let proxy = format!("http://{}", front.proxy);
    // A name that only the proxy knows.
    let mut command = front.copy("https://aws.floe.test", "null:");
    let (output, asked) = front
        .run({
            command.env("HTTPS_PROXY", &proxy);
            command
        })
        .await;
    assert!(output.status.success(), "{}", text(&output));
    assert_eq!(asked, ["CONNECT aws.floe.test:443 HTTP/1.1"]);

    // Not one of loopback's names, which are never asked for through a proxy, and yet this machine.
    let direct = format!("https://0.0.0.0:{}", front.tls.port());
    let mut command = front.copy(&direct, "null:");
    let (output, asked) = front
        .run({
            command.env("HTTPS_PROXY", &proxy);
            command
        })
        .await;
    assert!(output.status.success(), "{}", text(&output));
    assert_eq!(asked, [format!("CONNECT 0.0.0.0:{} HTTP/1.1", front.tls.port())]);

    let mut command = front.copy(&direct, "null:");
    let (output, asked) = front
        .run({
            command.env("HTTPS_PROXY", &proxy).env("NO_PROXY", "0.0.0.0");
            command
        })
        .await;
    assert!(output.status.success(), "{}", text(&output));
    assert!(asked.is_empty(), "{asked:?}");
}

#[tokio::test(flavor = "multi_thread")]
async fn blocks_are_put_over_tls_and_archived_over_it() {
    let front = Front::new().await;
    let endpoint = format!("https://localhost:{}", front.tls.port());
    let mut both = front.copy(&endpoint, "us-east-1:");
    both.arg("s3://floe-vault-us-east-1/tls/");
    let (output, _) = front.run(both).await;
    assert!(output.status.success(), "{}", text(&output));
}

/// The sandbox's own door: the lines that it prints are all that a client needs.
#[tokio::test(flavor = "multi_thread")]
async fn the_sandbox_answers_over_tls_where_it_is_given_a_certificate() {
    let world = World::calm().await;
    let (certificate, key) = (world.path("own.pem"), world.path("own.key"));
    own_certificate(&certificate, &key);
    for home in ["served", "client"] {
        std::fs::create_dir(world.path(home)).expect("a home");
    }
    let mut sandbox = crate::support::bare_floe(&world.path("served"))
        .args(["sandbox", "--state-dir"])
        .arg(world.path("served"))
        .arg("--tls-certificate")
        .arg(&certificate)
        .arg("--tls-key")
        .arg(&key)
        .stdout(std::process::Stdio::piped())
        .stderr(std::process::Stdio::null())
        .spawn()
        .expect("the sandbox starts");
    let outcome = tokio::task::spawn_blocking({
        let (told, home) = (sandbox.stdout.take().expect("its lines"), world.path("client"));
        move || {
            let mut copy = crate::support::bare_floe(&home);
            copy.args(["copy", SMALL, "null:", "--yes", "--foreground", "-q"]);
            let mut endpoint = String::new();
            for line in std::io::BufRead::lines(std::io::BufReader::new(told)).take(5) {
                let line = line.expect("a line");
                let (name, value) = line.trim_start_matches("export ").split_once('=').expect("a variable");
                copy.env(name, value);
                if name == "AWS_ENDPOINT_URL" {
                    value.clone_into(&mut endpoint);
                }
            }
            (endpoint, copy.output().expect("floe runs"))
        }
    });
    let (endpoint, output) = outcome.await.expect("it ends");
    sandbox.kill().expect("the sandbox ends");
    sandbox.wait().expect("it has ended");
    assert!(endpoint.starts_with("https://127.0.0.1:"), "{endpoint}");
    assert!(output.status.success(), "{}", text(&output));
}
