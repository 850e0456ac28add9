//! Listing, tokens, deltas and blocks.

use std::collections::HashMap;

use floe::sandbox::faults::{Faults, Rotation};

use super::*;

#[tokio::test]
async fn a_listing_is_ascending_and_complete_however_its_pages_fall() {
    let whole = sandbox(calm()).await;
    let expected: Vec<i32> = list(&client(&whole), FIRST).await.into_iter().map(|(index, _)| index).collect();
    assert_eq!(expected.len(), 4000);
    assert!(expected.is_sorted_by(|a, b| a < b));
    let torn = Faults { short_pages_permille: 500, empty_pages_permille: 300, ..calm() };
    let running = sandbox(torn).await;
    let (client, mut all, mut token, mut empty) = (client(&running), Vec::new(), None, 0);
    loop {
        let page = client.list_snapshot_blocks().snapshot_id(FIRST).max_results(100).set_next_token(token);
        let page = page.send().await.unwrap();
        assert!(page.blocks().len() <= 100);
        empty += usize::from(page.blocks().is_empty());
        all.extend(page.blocks().iter().map(|block| block.block_index().unwrap()));
        token = page.next_token().map(str::to_owned);
        if token.is_none() {
            break;
        }
    }
    assert!(empty > 0, "empty pages that are not the end");
    assert_eq!(all, expected);
}

#[tokio::test]
async fn a_listing_starts_where_it_is_told_unless_a_page_token_says_otherwise() {
    let running = sandbox(calm()).await;
    let client = client(&running);
    let all = list(&client, FIRST).await;
    let from = client.list_snapshot_blocks().snapshot_id(FIRST).starting_block_index(3000).max_results(100);
    let page = from.clone().send().await.unwrap();
    let expected = all.iter().find(|(index, _)| *index >= 3000).unwrap().0;
    assert_eq!(page.blocks()[0].block_index(), Some(expected));
    let after = page.blocks().last().unwrap().block_index().unwrap();
    let next = from.starting_block_index(0).next_token(page.next_token().unwrap()).send().await.unwrap();
    assert!(next.blocks()[0].block_index().unwrap() > after, "the page token wins");
    for wrong in [99, 10_001] {
        let asked = client.list_snapshot_blocks().snapshot_id(FIRST).max_results(wrong).send().await;
        assert_eq!(refusal(asked), validation("INVALID_PARAMETER_VALUE"));
    }
}

#[tokio::test]
async fn the_sixteen_tebibyte_snapshot_lists_to_its_end_and_costs_nothing() {
    let running = sandbox(calm()).await;
    let client = client(&running);
    let last = 16_384 * 2048 - 2000;
    let page = client.list_snapshot_blocks().snapshot_id(LARGE).starting_block_index(last).send().await.unwrap();
    assert_eq!((page.volume_size(), page.next_token()), (Some(16_384), None));
    let found = page.blocks().first().unwrap();
    let bytes = get(&client, LARGE, found.block_index().unwrap(), found.block_token().unwrap()).await.unwrap();
    assert_eq!(bytes.len(), 524_288);
    let model = running.sandbox.model();
    let region = model.region(&OURS.parse().unwrap(), &"eu-west-1".parse().unwrap()).unwrap();
    assert_eq!(region.snapshots[&LARGE.parse().unwrap()].content.listed().0, u64::from(LARGE_BLOCKS));
}

#[tokio::test]
async fn a_token_is_good_for_one_block_of_one_snapshot_and_one_account() {
    let running = sandbox(calm()).await;
    let ours = client(&running);
    let theirs = client_at(&running.url(), THEIRS, &format!("secret of {THEIRS}"));
    let (first, second) = (list(&ours, FIRST).await, list(&ours, SECOND).await);
    let (index, token) = &first[0];
    assert!(get(&ours, FIRST, *index, token).await.is_ok());
    let refused = validation("INVALID_BLOCK_TOKEN");
    assert_eq!(refusal(get(&ours, FIRST, first[1].0, token).await), refused);
    assert_eq!(refusal(get(&ours, FIRST, *index, &second[0].1).await), refused);
    assert_eq!(refusal(get(&ours, FIRST, *index, "AAAA").await), refused);
    let unknown = (404, "ResourceNotFoundException".into(), "SNAPSHOT_NOT_FOUND".into());
    assert_eq!(refusal(get(&theirs, FIRST, *index, token).await), unknown);
    let listed = ours.list_snapshot_blocks().snapshot_id("snap-0123456789abcdef0").send().await;
    assert_eq!(refusal(listed), unknown);
    let listed = ours.list_snapshot_blocks().snapshot_id("volume-1").send().await;
    assert_eq!(refusal(listed), validation("INVALID_SNAPSHOT_ID"));
    let paged = ours.list_snapshot_blocks().snapshot_id(FIRST).next_token(token).send().await;
    assert_eq!(refusal(paged), validation("INVALID_PAGE_TOKEN"));
}

#[tokio::test]
async fn tokens_expire_and_page_tokens_sooner() {
    let running = sandbox(calm()).await;
    let client = client(&running);
    let page = client.list_snapshot_blocks().snapshot_id(FIRST).max_results(100).send().await.unwrap();
    let (index, token) = (page.blocks()[0].block_index().unwrap(), page.blocks()[0].block_token().unwrap());
    let next = || client.list_snapshot_blocks().snapshot_id(FIRST).next_token(page.next_token().unwrap()).send();
    let hour = 3_600_000;
    running.sandbox.set_faults(Faults { advance_ms: hour - 10_000, ..calm() });
    assert!(next().await.is_ok());
    running.sandbox.set_faults(Faults { advance_ms: hour, ..calm() });
    assert_eq!(refusal(next().await), validation("INVALID_PAGE_TOKEN"));
    running.sandbox.set_faults(Faults { advance_ms: 7 * 24 * hour - 10_000, ..calm() });
    assert!(get(&client, FIRST, index, token).await.is_ok());
    running.sandbox.set_faults(Faults { advance_ms: 7 * 24 * hour, ..calm() });
    assert_eq!(refusal(get(&client, FIRST, index, token).await), validation("INVALID_BLOCK_TOKEN"));
}

#[tokio::test]
async fn a_new_listing_voids_older_tokens_on_request() {
    for (rotate, of_first_page, of_first_listing) in
        [(Rotation::Never, true, true), (Rotation::Listing, true, false), (Rotation::Page, false, false)]
    {
        let running = sandbox(Faults { rotate, ..calm() }).await;
        let client = client(&running);
        let page = client.list_snapshot_blocks().snapshot_id(FIRST).max_results(100).send().await.unwrap();
        let (index, token) = (page.blocks()[0].block_index().unwrap(), page.blocks()[0].block_token().unwrap());
        let next = client.list_snapshot_blocks().snapshot_id(FIRST).next_token(page.next_token().unwrap());
        next.send().await.unwrap();
        assert_eq!(get(&client, FIRST, index, token).await.is_ok(), of_first_page, "{rotate:?}");
        list(&client, FIRST).await;
        assert_eq!(get(&client, FIRST, index, token).await.is_ok(), of_first_listing, "{rotate:?}");
    }
}

#[tokio::test]
async fn a_delta_names_every_block_that_differs_and_gives_both_tokens() {
    let running = sandbox(calm()).await;
    let client = client(&running);
    let delta = client.list_changed_blocks().first_snapshot_id(FIRST).second_snapshot_id(THIRD).send().await.unwrap();
    assert_eq!(delta.next_token(), None);
    let before: HashMap<i32, String> = list(&client, FIRST).await.into_iter().collect();
    let after: HashMap<i32, String> = list(&client, THIRD).await.into_iter().collect();
    let changed: HashMap<i32, _> = delta.changed_blocks().iter().map(|b| (b.block_index().unwrap(), b)).collect();
    assert!(changed.len() > 20, "{}", changed.len());
    for (index, entry) in &changed {
        assert_eq!(entry.first_block_token().is_some(), before.contains_key(index));
        assert_eq!(entry.second_block_token().is_some(), after.contains_key(index));
    }
    // Every block on one side only is in the delta, and of the others a sample that is not in it is equal.
    assert!(
        before
            .keys()
            .chain(after.keys())
            .all(|i| before.contains_key(i) == after.contains_key(i) || changed.contains_key(i))
    );
    let same = before.iter().filter(|(index, _)| !changed.contains_key(index));
    for (index, token) in same.step_by(400) {
        let (a, b) = (get(&client, FIRST, *index, token).await, get(&client, THIRD, *index, &after[index]).await);
        assert!(a.unwrap() == b.unwrap(), "block {index} is not in the delta and differs");
    }
    let (index, entry) = changed.iter().find(|(_, entry)| entry.first_block_token().is_some()).unwrap();
    assert!(get(&client, FIRST, *index, entry.first_block_token().unwrap()).await.is_ok());
}

#[tokio::test]
async fn a_delta_needs_two_snapshots_of_one_lineage() {
    let running = sandbox(calm()).await;
    let client = client(&running);
    let delta = |first: Option<&str>, second: &str| {
        let first = first.map(str::to_owned);
        client.list_changed_blocks().set_first_snapshot_id(first).second_snapshot_id(second).send()
    };
    assert_eq!(refusal(delta(Some(FIRST), STRANGER).await), validation("UNRELATED_SNAPSHOTS"));
    assert_eq!(refusal(delta(None, SECOND).await), validation("INVALID_PARAMETER_VALUE"));
    assert!(delta(Some(SECOND), FIRST).await.is_ok(), "backwards is allowed");
}

#[tokio::test]
async fn only_what_is_completed_and_at_hand_can_be_read() {
    let running = sandbox(calm()).await;
    let client = client(&running);
    let pending = start(&client, 1, None).await;
    let listed = client.list_snapshot_blocks().snapshot_id(&pending).send().await;
    assert_eq!(refusal(listed), validation("INVALID_SNAPSHOT_ID"));
    {
        let mut model = running.sandbox.model_mut();
        let region = model.region_mut(&OURS.parse().unwrap(), &"eu-west-1".parse().unwrap()).unwrap();
        region.snapshots.get_mut(&FIRST.parse().unwrap()).unwrap().tier = Tier::Archive;
    }
    let listed = client.list_snapshot_blocks().snapshot_id(FIRST).send().await;
    assert_eq!(refusal(listed), validation("INVALID_SNAPSHOT_ID"));
}
