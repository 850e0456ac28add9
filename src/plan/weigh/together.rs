//! How long the jobs of a group take that run beside each other: let in as the engine lets them in, each as quick as its
//! own limits and its part of what they share.
//!
//! Nothing is drawn by lot: from one event to the next rates stay the same. Invariant: what is shared is divided, and what
//! one cannot use the others have. How it is divided depends on who comes first at the engine's limiters: at best by the
//! lanes that each can fill, so that small jobs leave the large ones more, at worst evenly. Where all jobs fill their lanes that is the
//! same.

use std::collections::{BTreeMap, VecDeque};

use super::limits::{Limit, Whose, of_moving, of_reading_back};
use super::time::{HEAD_START, reads_back};
use crate::plan::choices::{has_place, is_small, places};
use crate::plan::model::{Choices, Facts, ItemPlan, JobTime, Options, TimePart, When};

/// What is found of a group.
pub(super) struct Found {
    /// From the first begun to the last done.
    pub low: f64,
    pub high: f64,
    /// Each job by itself, from its begin.
    pub each: Vec<JobTime>,
    /// What held the most of them for the longest.
    pub bound_by: String,
    /// How many run at once, at most.
    pub at_once: u32,
}

/// Which limit, and what one block takes of it.
type Ask = (usize, f64);

/// A part of a job.
#[derive(Debug, Clone)]
enum Stage {
    /// It takes so long, whatever runs beside it.
    Seconds(f64),
    /// So many blocks; each takes so much of those limits.
    Blocks(f64, Vec<Ask>),
}

impl Stage {
    const fn whole(&self) -> f64 {
        match self {
            Self::Seconds(all) | Self::Blocks(all, _) => *all,
        }
    }
}

/// One job.
#[derive(Debug, Clone)]
struct Work {
    is_small: bool,
    /// Its part of what is shared, beside those of others.
    weight: f64,
    stages: Vec<Stage>,
}

/// A limit of some or of all jobs: what it gives a second at best and at worst.
#[derive(Debug)]
struct Source {
    gives: (f64, f64),
    text: String,
}

/// All limits, each once.
#[derive(Debug, Default)]
struct Sources {
    all: Vec<Source>,
    known: BTreeMap<Whose, usize>,
}

impl Sources {
    /// Which of them a block of this job takes of, and how much.
    fn of(&mut self, limits: Vec<Limit>) -> Vec<Ask> {
        limits.into_iter().map(|limit| (self.place(&limit), limit.uses)).collect()
    }

    fn place(&mut self, limit: &Limit) -> usize {
        let gives = limit.span();
        if let Some(at) = self.known.get(&limit.whose).copied() {
            let known = &mut self.all[at].gives;
            *known = (known.0.min(gives.0), known.1.min(gives.1));
            return at;
        }
        let at = self.all.len();
        self.all.push(Source { gives, text: limit.text.clone() });
        if limit.whose != Whose::Own {
            self.known.insert(limit.whose.clone(), at);
        }
        at
    }
}

/// Lets the jobs of these items run; `beside` is what each of them takes beside its blocks.
pub(super) fn run(
    items: &[ItemPlan],
    beside: &[Vec<TimePart>],
    options: &Options,
    choices: &Choices,
    facts: &Facts,
) -> Found {
    let mut sources = Sources::default();
    let both: Vec<(Work, Work)> = items
        .iter()
        .zip(beside)
        .map(|(item, beside)| {
            let moving = of_moving(item, options, choices, facts);
            let alone = moving.iter().map(Limit::rate).fold(f64::INFINITY, f64::min);
            let moving = sources.of(moving);
            let back = reads_back(item, options).then(|| sources.of(of_reading_back(item, options, choices, facts)));
            let work = |ahead: f64, high: bool| Work {
                is_small: is_small(item.source.blocks.value),
                weight: lanes_filled(item, choices),
                stages: stages(item, beside, (&moving, back.as_deref()), ahead, high),
            };
            // A limiter's first tokens are spent at once.
            (work(alone * HEAD_START, false), work(0.0, true))
        })
        .collect();
    let (quick, slow): (Vec<Work>, Vec<Work>) = both.into_iter().unzip();
    let places = places(choices.budget);
    let gives = |high: bool| -> Vec<f64> {
        sources.all.iter().map(|source| if high { source.gives.1 } else { source.gives.0 }).collect()
    };
    let (low, high) = (Course::span(&quick, &gives(false), places), Course::span(&slow, &gives(true), places));
    let (low, high) = (low.0, high.1);
    let bound = low.bound.iter().enumerate().max_by(|a, b| a.1.0.total_cmp(&b.1.0));
    let bound_by = bound.map_or_else(String::new, |(at, (_, many))| match many {
        0 | 1 => sources.all[at].text.clone(),
        many => format!("{}, shared by {many} jobs", sources.all[at].text),
    });
    let each = low.each.iter().zip(&high.each).map(|(low, high)| (*low, high.max(*low)));
    Found {
        low: low.end,
        high: high.end,
        each: each.map(|(low_seconds, high_seconds)| JobTime { low_seconds, high_seconds }).collect(),
        bound_by,
        at_once: low.at_once.max(high.at_once),
    }
}

/// Lanes that its blocks can fill.
fn lanes_filled(item: &ItemPlan, choices: &Choices) -> f64 {
    let blocks = u32::try_from(item.source.blocks.value.0).unwrap_or(u32::MAX);
    f64::from(blocks.clamp(1, choices.lanes_max.max(1)))
}

#[expect(clippy::cast_precision_loss, reason = "counts of blocks are far below 2^52")]
fn stages(
    item: &ItemPlan,
    beside: &[TimePart],
    (moving, back): (&[Ask], Option<&[Ask]>),
    ahead: f64,
    high: bool,
) -> Vec<Stage> {
    let seconds = |when: When| {
        let parts = beside.iter().filter(|part| part.when == when);
        parts.map(|part| if high { part.high_seconds } else { part.low_seconds }).sum::<f64>()
    };
    let blocks = item.source.blocks.value.0 as f64;
    let mut stages = vec![Stage::Seconds(seconds(When::Before))];
    if item.is_read() {
        stages.push(Stage::Blocks((blocks - ahead).max(0.0), moving.to_vec()));
        stages.extend(back.map(|back| Stage::Blocks(blocks, back.to_vec())));
    }
    stages.push(Stage::Seconds(seconds(When::After)));
    stages
}

/// A job that runs.
struct Running {
    nth: usize,
    begun: f64,
    stage: usize,
    left: f64,
}

/// How it went.
#[derive(Debug, Clone, Default)]
struct Course {
    end: f64,
    each: Vec<f64>,
    at_once: u32,
    /// How often the line was looked at.
    looks: usize,
    /// Of each limit: for how long it held jobs back, in seconds of a job, and how many it held at once at most.
    bound: Vec<(f64, u32)>,
}

impl Course {
    /// At best and at worst, however what is shared is divided: by the lanes that each fills, and evenly.
    fn span(works: &[Work], gives: &[f64], places: usize) -> (Self, Self) {
        let by_lanes = Self::of(works, gives, places);
        let is_even = works.windows(2).all(|two| two[0].weight.total_cmp(&two[1].weight).is_eq());
        let even: Vec<Work> = works.iter().map(|work| Work { weight: 1.0, ..work.clone() }).collect();
        let evenly = if is_even { by_lanes.clone() } else { Self::of(&even, gives, places) };
        let both = |pick: fn(f64, f64) -> f64| Self {
            end: pick(by_lanes.end, evenly.end),
            each: by_lanes.each.iter().zip(&evenly.each).map(|(a, b)| pick(*a, *b)).collect(),
            ..evenly.clone()
        };
        (both(f64::min), both(f64::max))
    }

    fn of(works: &[Work], gives: &[f64], places: usize) -> Self {
        let mut course = Self { each: vec![0.0; works.len()], bound: vec![(0.0, 0); gives.len()], ..Self::default() };
        let mut line = Line::of(works);
        let mut running: Vec<Running> = Vec::new();
        loop {
            while let Some(nth) = line.next(running.len(), places) {
                running.push(Running::begins(nth, &works[nth], course.end));
            }
            course.at_once = course.at_once.max(u32::try_from(running.len()).unwrap_or(u32::MAX));
            let rates = rates(&running, works, gives);
            let step = running.iter().zip(&rates).map(|(job, (rate, _))| job.left / rate).reduce(f64::min);
            let Some(step) = step.filter(|step| step.is_finite()) else {
                course.looks = line.looks;
                return course;
            };
            course.pass(step, &rates);
            for (job, (rate, _)) in running.iter_mut().zip(&rates) {
                job.left -= rate * step;
            }
            running.retain_mut(|job| {
                let goes_on = job.turn(&works[job.nth]);
                if !goes_on {
                    course.each[job.nth] = course.end - job.begun;
                }
                goes_on
            });
        }
    }

    /// So many seconds go by.
    fn pass(&mut self, step: f64, rates: &[(f64, Option<usize>)]) {
        self.end += step;
        for at in rates.iter().filter_map(|(_, by)| *by) {
            let many = rates.iter().filter(|(_, by)| *by == Some(at)).count();
            self.bound[at].0 += step;
            self.bound[at].1 = self.bound[at].1.max(u32::try_from(many).unwrap_or(u32::MAX));
        }
    }
}

impl Running {
    fn begins(nth: usize, work: &Work, now: f64) -> Self {
        Self { nth, begun: now, stage: 0, left: work.stages.first().map_or(0.0, Stage::whole) }
    }

    /// Goes on to its next part where this one is done; false when it was the last.
    fn turn(&mut self, work: &Work) -> bool {
        // What is left by rounding is nothing.
        let is_done = |left: f64, stage: &Stage| left <= stage.whole() * 1e-9;
        while let Some(stage) = work.stages.get(self.stage) {
            if !is_done(self.left, stage) {
                return true;
            }
            self.stage += 1;
            self.left = work.stages.get(self.stage).map_or(0.0, Stage::whole);
        }
        false
    }
}

/// Who has not begun yet, in order: small ones may pass large ones, as in the engine, and nobody else passes anybody. Two
/// lines, so that ten thousand large jobs which wait for a place are not looked at whenever one is done.
struct Line {
    small: VecDeque<usize>,
    large: VecDeque<usize>,
    looks: usize,
}

impl Line {
    fn of(works: &[Work]) -> Self {
        let (small, large) = (0..works.len()).partition(|nth| works[*nth].is_small);
        Self { small, large, looks: 0 }
    }

    /// Who begins next, beside so many.
    fn next(&mut self, running: usize, places: usize) -> Option<usize> {
        self.looks += 1;
        let first = |line: &VecDeque<usize>, is_small: bool| {
            line.front().copied().filter(|_| has_place(running, places, is_small))
        };
        let (small, large) = (first(&self.small, true), first(&self.large, false));
        match (small, large) {
            (Some(small), Some(large)) if large < small => self.large.pop_front(),
            (Some(_), _) => self.small.pop_front(),
            (None, Some(_)) => self.large.pop_front(),
            (None, None) => None,
        }
    }
}

/// How quick each is now, and what holds it back: its part of what is shared, and of what others cannot use.
fn rates(running: &[Running], works: &[Work], gives: &[f64]) -> Vec<(f64, Option<usize>)> {
    // A second takes a second.
    let mut rates: Vec<(f64, Option<usize>)> = vec![(1.0, None); running.len()];
    let asks = |at: usize| match &works[running[at].nth].stages[running[at].stage] {
        Stage::Blocks(_, asks) => asks.as_slice(),
        Stage::Seconds(_) => &[],
    };
    let weight = |at: usize| works[running[at].nth].weight;
    let mut open: Vec<usize> = (0..running.len()).filter(|at| !asks(*at).is_empty()).collect();
    // Of each limit what is left of it, and what those take of it together who are still to be given their part.
    let mut limits: BTreeMap<usize, (f64, f64)> = BTreeMap::new();
    for (at, (limit, uses)) in open.iter().flat_map(|at| asks(*at).iter().map(|ask| (*at, ask))) {
        limits.entry(*limit).or_insert((gives[*limit], 0.0)).1 += uses * weight(at);
    }
    while !open.is_empty() {
        let levels = limits.iter().filter(|(_, (_, asked))| *asked > 0.0);
        let levels = levels.map(|(limit, (left, asked))| (*limit, left.max(0.0) / asked));
        // Of equal ones the last counts.
        let Some((tightest, level)) = levels.reduce(|a, b| if b.1 <= a.1 { b } else { a }) else { break };
        open.retain(|at| {
            let held = asks(*at).iter().any(|(limit, _)| *limit == tightest);
            if held {
                rates[*at] = (level * weight(*at), Some(tightest));
                for (limit, uses) in asks(*at) {
                    if let Some((left, asked)) = limits.get_mut(limit) {
                        let part = uses * weight(*at);
                        (*left, *asked) = (*left - part * level, *asked - part);
                    }
                }
            }
            !held
        });
        limits.remove(&tightest);
    }
    rates
}

#[cfg(test)]
mod tests {
    use super::*;

    /// A job of so many blocks that takes one of each of these limits for a block.
    fn job(blocks: f64, limits: &[usize]) -> Work {
        let asks = limits.iter().map(|limit| (*limit, 1.0)).collect();
        Work {
            is_small: true,
            weight: 1.0,
            stages: vec![Stage::Seconds(1.0), Stage::Blocks(blocks, asks), Stage::Seconds(0.5)],
        }
    }

    fn near(found: f64, expected: f64) {
        assert!((found - expected).abs() < 1e-6, "{found}, not {expected}");
    }

    #[test]
    fn jobs_with_limits_of_their_own_take_as_long_as_the_longest() {
        let course = Course::of(&[job(100.0, &[0]), job(300.0, &[1])], &[10.0, 10.0], 8);
        near(course.end, 31.5);
        near(course.each[0], 11.5);
        assert_eq!((course.at_once, course.bound[0].1), (2, 1));
    }

    #[test]
    fn what_is_shared_is_divided_evenly_and_what_one_leaves_the_other_has() {
        // Both 5 a second of 10 until the small one is done after 20 s, then the large one 10.
        let course = Course::of(&[job(100.0, &[0]), job(300.0, &[0])], &[10.0], 8);
        near(course.each[0], 1.0 + 20.0 + 0.5);
        near(course.each[1], 1.0 + 20.0 + 20.0 + 0.5);
        assert_eq!(course.bound[0].1, 2);
        // One that cannot use its part: 2 of its own, and 8 for the other.
        let course = Course::of(&[job(100.0, &[0, 1]), job(80.0, &[0])], &[10.0, 2.0], 8);
        near(course.each[1], 11.5);
        near(course.each[0], 51.5);
    }

    #[test]
    fn by_the_lanes_that_they_fill_all_are_done_at_the_same_time() {
        let of = |blocks: f64| Work { weight: blocks, ..job(blocks, &[0]) };
        let course = Course::of(&[of(10.0), of(90.0)], &[10.0], 8);
        course.each.iter().for_each(|took| near(*took, 11.5));
    }

    #[test]
    fn no_more_run_at_once_than_there_are_places_and_the_last_one_is_for_small_ones() {
        let all = vec![job(10.0, &[0]); 5];
        let course = Course::of(&all, &[1e9], 2);
        near(course.end, 3.0 * 1.5 + 5e-8);
        assert_eq!(course.at_once, 2);
        let large = || Work { is_small: false, ..job(100.0, &[0]) };
        let course = Course::of(&[large(), large(), job(10.0, &[0])], &[10.0], 2);
        assert_eq!(course.at_once, 2, "the small one overtakes the second large one");
        near(course.each[2], 1.0 + 2.0 + 0.5);
        near(course.end, 1.0 + 11.0 + 0.5 + 11.5);
    }

    #[test]
    fn a_thousand_jobs_end_and_nothing_is_lost_by_rounding() {
        let all: Vec<Work> = (0..1_000_u32).map(|n| job(f64::from(n % 7) / 3.0, &[0])).collect();
        let course = Course::of(&all, &[0.7], 8);
        assert!(course.each.iter().all(|took| *took >= 1.5 - 1e-9));
        let blocks: f64 = (0..1_000_u32).map(|n| f64::from(n % 7) / 3.0).sum();
        assert!(course.end >= blocks / 0.7 && course.end < blocks / 0.7 + 1.5 * 1_000.0 / 8.0 + 2.0);
    }

    /// As many looks as jobs and as moments at which one is done, however many wait.
    #[test]
    fn ten_thousand_large_jobs_that_wait_are_not_looked_at_again_and_again() {
        let large = |n: u32| Work { is_small: n.is_multiple_of(100), ..job(f64::from(1 + n % 5), &[0]) };
        let all: Vec<Work> = (0..10_000).map(large).collect();
        let course = Course::of(&all, &[50.0], 8);
        assert!(course.each.iter().all(|took| *took >= 1.5), "all of them ran");
        // Three parts of each end, and each may end alone.
        assert!(course.looks <= 4 * all.len() + 1, "{} looks", course.looks);
        assert!(course.looks > all.len());
    }
}
