//! The engine's figures as Prometheus text, served on an address that the user names.
//!
//! Invariant: every figure is read from one picture, the one that the fronts draw; nothing is counted twice. Only
//! `GET /metrics` is answered, and nothing can be changed through it.

use std::convert::Infallible;
use std::fmt::Write as _;
use std::net::SocketAddr;
use std::sync::Arc;
use std::time::Duration;

use bytes::Bytes as Buffer;
use http::{HeaderValue, Method, Request, Response, StatusCode, header};
use http_body_util::Full;
use hyper::body::Incoming;
use hyper::service::service_fn;
use hyper_util::rt::{TokioIo, TokioTimer};
use jiff::Timestamp;
use tokio::net::{TcpListener, TcpStream};
use tokio::sync::{Semaphore, watch};

use super::protocol::{JobState, JobStatus, Requests, Status};
use crate::error::{Error, Result};
use crate::units::Sure;

/// Readers at once; a scraper needs one.
const READERS: usize = 16;
/// A request is whole within this, or its connection ends.
const HEADER_WITHIN: Duration = Duration::from_secs(5);
/// After a failure to accept (out of descriptors, mostly).
const PAUSE: Duration = Duration::from_millis(200);

/// An address that was taken.
#[derive(Debug)]
pub struct Listening {
    listener: TcpListener,
    address: SocketAddr,
}

impl Listening {
    /// Takes the address, so that what is wrong with it is said at the start.
    ///
    /// # Errors
    /// It is in use, or not of this machine.
    pub async fn on(address: SocketAddr) -> Result<Self> {
        let failed = |e: &std::io::Error| {
            Error::io(format!("could not listen on {address} for metrics"), e)
                .todo("name another address: --metrics HOST:PORT")
        };
        let listener = TcpListener::bind(address).await.map_err(|e| failed(&e))?;
        let address = listener.local_addr().map_err(|e| failed(&e))?;
        Ok(Self { listener, address })
    }

    /// Where it is: the port that the system chose for port 0.
    #[must_use]
    pub const fn address(&self) -> SocketAddr {
        self.address
    }

    /// Answers until it is dropped.
    pub(super) async fn serve(self, pictures: watch::Receiver<Arc<Status>>) {
        let places = Arc::new(Semaphore::new(READERS));
        loop {
            let Ok(place) = Arc::clone(&places).acquire_owned().await else { return };
            match self.listener.accept().await {
                Ok((stream, _)) => {
                    let pictures = pictures.clone();
                    tokio::spawn(async move {
                        connection(stream, pictures).await;
                        drop(place);
                    });
                }
                Err(error) => {
                    tracing::warn!(%error, "metrics: a reader could not be taken");
                    tokio::time::sleep(PAUSE).await;
                }
            }
        }
    }
}

async fn connection(stream: TcpStream, pictures: watch::Receiver<Arc<Status>>) {
    let service = service_fn(|request: Request<Incoming>| {
        let response = answer(&request, &pictures);
        async move { Ok::<_, Infallible>(response) }
    });
    let mut http = hyper::server::conn::http1::Builder::new();
    http.timer(TokioTimer::new()).header_read_timeout(HEADER_WITHIN);
    if let Err(error) = http.serve_connection(TokioIo::new(stream), service).await {
        tracing::debug!(%error, "metrics: a reader was lost");
    }
}

fn answer(request: &Request<Incoming>, pictures: &watch::Receiver<Arc<Status>>) -> Response<Full<Buffer>> {
    let plain = HeaderValue::from_static("text/plain; version=0.0.4; charset=utf-8");
    let (status, body) = match (request.method(), request.uri().path()) {
        (&Method::GET | &Method::HEAD, "/metrics") => (StatusCode::OK, text(&pictures.borrow())),
        (_, "/metrics") => (StatusCode::METHOD_NOT_ALLOWED, "only GET\n".to_owned()),
        _ => (StatusCode::NOT_FOUND, "floe's figures are at /metrics\n".to_owned()),
    };
    let mut response = Response::new(Full::new(Buffer::from(body)));
    *response.status_mut() = status;
    response.headers_mut().insert(header::CONTENT_TYPE, plain);
    response
}

/// All figures of a picture in the text format 0.0.4, seconds and bytes as the format's conventions ask.
#[must_use]
pub fn text(picture: &Status) -> String {
    let mut out = Page(String::with_capacity(4096));
    out.family("floe_build_info", "gauge", "The version that runs.");
    out.sample("floe_build_info", &[("version", env!("CARGO_PKG_VERSION"))], 1.0);
    out.family("floe_engine_start_time_seconds", "gauge", "When the engine started, seconds since 1970.");
    out.sample("floe_engine_start_time_seconds", &[], seconds(picture.engine_started));
    machine(&mut out, picture);
    jobs(&mut out, &picture.jobs);
    out.0
}

fn machine(out: &mut Page, picture: &Status) {
    out.family("floe_budget_used_bytes", "gauge", "Memory of the budget that jobs hold now.");
    out.sample("floe_budget_used_bytes", &[], float(picture.budget.used.0));
    out.family("floe_budget_limit_bytes", "gauge", "The memory budget of all jobs together.");
    out.sample("floe_budget_limit_bytes", &[], float(picture.budget.limit.0));
    out.family("floe_budget_part_bytes", "gauge", "The same by what it is held for.");
    for (part, held) in &picture.budget.parts {
        out.sample("floe_budget_part_bytes", &[("part", part)], float(held.0));
    }
    out.family("floe_resident_memory_bytes", "gauge", "Resident size of the engine's process.");
    out.sample("floe_resident_memory_bytes", &[], float(picture.machine.rss.0));
    out.family("floe_resident_memory_peak_bytes", "gauge", "Its highest sample.");
    out.sample("floe_resident_memory_peak_bytes", &[], float(picture.machine.rss_peak.0));
    out.family("floe_read_bytes_per_second", "gauge", "Reading of all jobs together, over the last seconds.");
    out.sample("floe_read_bytes_per_second", &[], picture.rate.0);
}

/// Every state a job can be in, so that a state nobody is in reads 0 and not nothing.
const STATES: [JobState; 12] = [
    JobState::Queued,
    JobState::Starting,
    JobState::Running,
    JobState::Paused,
    JobState::Waiting,
    JobState::Completing,
    JobState::Verifying,
    JobState::Done,
    JobState::Partial,
    JobState::Failed,
    JobState::Cancelled,
    JobState::Interrupted,
];

fn jobs(out: &mut Page, jobs: &[JobStatus]) {
    out.family("floe_jobs", "gauge", "Jobs by state: those that are not over, and the latest that are.");
    for state in STATES {
        let count = jobs.iter().filter(|job| job.state == state).count();
        out.sample("floe_jobs", &[("state", state.word())], float(count as u64));
    }
    out.family("floe_job_info", "gauge", "What a job is.");
    for job in jobs {
        let to: Vec<&str> = job.destinations.iter().map(|to| to.address.as_str()).collect();
        let (number, to) = (job.job.to_string(), to.join(" "));
        out.sample("floe_job_info", &[("job", &number), ("source", &job.source), ("destinations", &to)], 1.0);
    }
    for (name, kind, help, of) in FIGURES {
        out.family(name, kind, help);
        for job in jobs {
            let number = job.job.to_string();
            for (label, value) in of(job) {
                let labels: Vec<_> = [("job", number.as_str())].into_iter().chain(label).collect();
                out.sample(name, &labels, value);
            }
        }
    }
}

/// One sample of a job: its label beside the job's number, and its value.
type Sample<'a> = (Option<(&'static str, &'a str)>, f64);
type Figure = (&'static str, &'static str, &'static str, for<'a> fn(&'a JobStatus) -> Vec<Sample<'a>>);

/// What is told of each job.
const FIGURES: &[Figure] = &[
    ("floe_job_state", "gauge", "1 for the state that the job is in.", |job| {
        STATES.iter().map(|state| (Some(("state", state.word())), f64::from(*state == job.state))).collect()
    }),
    ("floe_job_blocks_done", "gauge", "Blocks of 512 KiB that every destination has.", |job| {
        vec![(None, float(job.blocks_done.0))]
    }),
    ("floe_job_blocks", "gauge", "Blocks there are; at most, until the listing ended.", |job| {
        match job.blocks_total.sure {
            Sure::Unknown => Vec::new(),
            Sure::Exact => vec![(Some(("sure", "exact")), float(job.blocks_total.value.0))],
            _ => vec![(Some(("sure", "at-most")), float(job.blocks_total.value.0))],
        }
    }),
    ("floe_job_read_bytes_total", "counter", "Bytes read from the source in this run.", |job| {
        vec![(None, float(job.bytes_read.0))]
    }),
    ("floe_job_written_bytes_total", "counter", "Bytes written in this run, all destinations.", |job| {
        vec![(None, float(job.bytes_written.0))]
    }),
    ("floe_job_read_bytes_per_second", "gauge", "Reading over the last seconds.", |job| vec![(None, job.rate.0)]),
    ("floe_job_requests_total", "counter", "Requests made.", |job| {
        let Requests { list, get, put, .. } = job.requests;
        [("list", list), ("get", get), ("put", put)].map(|(api, n)| (Some(("api", api)), float(n))).to_vec()
    }),
    ("floe_job_retries_total", "counter", "Requests sent again.", |job| vec![(None, float(job.troubles.retries))]),
    ("floe_job_throttles_total", "counter", "Requests that were throttled.", |job| {
        let throttles = job.troubles;
        vec![
            (Some(("level", "snapshot")), float(throttles.snapshot_throttles)),
            (Some(("level", "account")), float(throttles.account_throttles)),
            (Some(("level", "kms")), float(throttles.kms_throttles)),
        ]
    }),
    ("floe_job_timeouts_total", "counter", "Deadlines that passed.", |job| vec![(None, float(job.troubles.timeouts))]),
    ("floe_job_corrupt_total", "counter", "Blocks whose checksum was wrong; they were asked for again.", |job| {
        vec![(None, float(job.troubles.corrupt))]
    }),
    ("floe_job_lanes", "gauge", "Requests in flight now, the window, and the most it may become.", |job| {
        let lanes = &job.lanes;
        [("now", lanes.now), ("target", lanes.target), ("cap", lanes.cap)]
            .map(|(which, n)| (Some(("which", which)), f64::from(n)))
            .to_vec()
    }),
    ("floe_job_held_bytes", "gauge", "Memory of the budget that the job holds now.", |job| {
        vec![(None, float(job.held.0))]
    }),
    ("floe_job_get_seconds", "gauge", "Time of a Get: median and 99th percentile.", |job| latency(job.get_ms)),
    ("floe_job_put_seconds", "gauge", "Time of a Put: median and 99th percentile.", |job| latency(job.put_ms)),
    ("floe_job_spent_usd", "gauge", "Dollars of requests and transfer so far, by the plan's prices.", |job| {
        vec![(None, job.spent.0)]
    }),
    ("floe_job_left_seconds", "gauge", "Seconds left, at best and at worst.", |job| {
        let Some((low, high)) = job.left_seconds else { return Vec::new() };
        vec![(Some(("bound", "low")), low), (Some(("bound", "high")), high)]
    }),
    ("floe_job_expires_time_seconds", "gauge", "When AWS gives a resting job's pending snapshot up.", |job| {
        job.expires.map(|at| (None, seconds(at))).into_iter().collect()
    }),
];

fn latency<'a>(ms: Option<(f32, f32)>) -> Vec<Sample<'a>> {
    let Some((median, p99)) = ms else { return Vec::new() };
    let of = |quantile, ms: f32| (Some(("quantile", quantile)), f64::from(ms) / 1000.0);
    vec![of("0.5", median), of("0.99", p99)]
}

fn seconds(at: Timestamp) -> f64 {
    at.as_duration().as_secs_f64()
}

#[expect(clippy::cast_precision_loss, reason = "the format knows only floats; past 2^53 nobody counts singly")]
const fn float(count: u64) -> f64 {
    count as f64
}

/// The text as it grows.
struct Page(String);

impl Page {
    fn family(&mut self, name: &str, kind: &str, help: &str) {
        let _ = writeln!(self.0, "# HELP {name} {help}\n# TYPE {name} {kind}");
    }

    fn sample(&mut self, name: &str, labels: &[(&str, &str)], value: f64) {
        self.0.push_str(name);
        for (at, (key, value)) in labels.iter().enumerate() {
            self.0.push(if at == 0 { '{' } else { ',' });
            let _ = write!(self.0, "{key}=\"");
            escape(&mut self.0, value);
            self.0.push('"');
        }
        if !labels.is_empty() {
            self.0.push('}');
        }
        let _ = writeln!(self.0, " {value}");
    }
}

/// A label's value as the format wants it: an address may hold whatever a file may be called.
fn escape(into: &mut String, value: &str) {
    for c in value.chars() {
        match c {
            '\\' => into.push_str("\\\\"),
            '"' => into.push_str("\\\""),
            '\n' => into.push_str("\\n"),
            c => into.push(c),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_a_file_may_be_called_does_not_break_the_text() {
        let mut page = Page(String::new());
        page.sample("floe_job_info", &[("job", "1"), ("source", "a\"b\\c\nd")], 1.0);
        assert_eq!(page.0, "floe_job_info{job=\"1\",source=\"a\\\"b\\\\c\\nd\"} 1\n");
    }
}
