//! What jobs that are not over use, for who judges what is an orphan.
//!
//! A job's record names its source, parents, results and bases in many places. All ids in it are taken: a job that
//! names a snapshot has to do with it, and one id too many only keeps a snapshot that could have gone.

use crate::error::{Error, Result};
use crate::ids::{ImageId, JobId, SnapshotId};
use crate::inventory::relations::JobUse;
use crate::store::StateDir;

pub(super) fn all(state: &StateDir) -> Result<Vec<JobUse>> {
    let mut uses = Vec::new();
    for job in super::jobs(state)?.into_iter().filter(|job| !job.state.is_over()) {
        let spec = super::spec(state, job.job)?;
        let words = |value: serde_json::Result<String>| {
            value.map_err(|cause| Error::failed(format!("job {} cannot be read: {cause}", job.job)))
        };
        named(&words(serde_json::to_string(&spec))?, job.job, &mut uses);
        named(&words(serde_json::to_string(&job))?, job.job, &mut uses);
    }
    Ok(uses)
}

/// Adds every id in a text, once.
fn named(text: &str, job: JobId, uses: &mut Vec<JobUse>) {
    for word in text.split(|c: char| !c.is_ascii_alphanumeric() && c != '-') {
        let is_id = word.parse::<SnapshotId>().is_ok() || word.parse::<ImageId>().is_ok();
        if is_id && !uses.iter().any(|used| used.job == job && used.id == word) {
            uses.push(JobUse { id: word.to_owned(), job });
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn ids_are_found_in_addresses_and_arns() -> Result<(), String> {
        let mut uses = Vec::new();
        let text = r#"{"a":"prod@us-east-1:snap-0abc1234..snap-0abc1235","b":"arn:aws:ec2:x::image/ami-0abc1236","c":"snap-0abc1234+"}"#;
        named(text, "3".parse()?, &mut uses);
        let ids: Vec<&str> = uses.iter().map(|used| used.id.as_str()).collect();
        assert_eq!(ids, ["snap-0abc1234", "snap-0abc1235", "ami-0abc1236"]);
        Ok(())
    }
}
