//! Starting, putting and completing.

use aws_sdk_ebs::types::Tag;

use super::*;

fn state_of(running: &Running, id: &str) -> SnapshotState {
    let model = running.sandbox.model();
    let region = model.region(&OURS.parse().unwrap(), &"eu-west-1".parse().unwrap()).unwrap();
    region.snapshots[&id.parse().unwrap()].state.clone()
}

#[tokio::test]
async fn what_is_written_is_read_back_with_its_checksum_and_count() {
    let running = sandbox(calm()).await;
    let client = client(&running);
    let id = start(&client, 1, None).await;
    let zeros = vec![0; 524_288];
    put(&client, &id, 2047, block(1)).await.unwrap();
    put(&client, &id, 5, block(2)).await.unwrap();
    put(&client, &id, 5, block(3)).await.unwrap();
    put(&client, &id, 7, zeros.clone()).await.unwrap();
    let checksum = linear([&block(3)[..], &zeros, &block(1)]);
    assert_eq!(complete(&client, &id, 3, Some(checksum)).await.unwrap(), "pending");
    let listed = list(&client, &id).await;
    let expected = [(5, block(3)), (7, zeros), (2047, block(1))];
    assert_eq!(
        listed.iter().map(|(index, _)| *index).collect::<Vec<_>>(),
        expected.each_ref().map(|(index, _)| *index)
    );
    for ((index, token), (_, bytes)) in listed.iter().zip(&expected) {
        assert!(get(&client, &id, *index, token).await.unwrap() == *bytes, "block {index}");
    }
    assert_eq!(complete(&client, &id, 3, None).await.unwrap(), "completed", "the same call again");
    assert_eq!(refusal(complete(&client, &id, 4, None).await).0, 400, "another count");
    assert_eq!(refusal(put(&client, &id, 1, block(1)).await), validation("INVALID_SNAPSHOT_ID"));
}

#[tokio::test]
async fn a_synthetic_block_comes_back_as_it_was_given() {
    let running = sandbox(calm()).await;
    let client = client(&running);
    let id = start(&client, 3, None).await;
    let source = list(&client, FIRST).await;
    let mut copied = Vec::new();
    for (index, token) in source.iter().step_by(200) {
        let bytes = get(&client, FIRST, *index, token).await.unwrap();
        put(&client, &id, *index, bytes.clone()).await.unwrap();
        copied.push((*index, bytes));
    }
    let checksum = linear(copied.iter().map(|(_, bytes)| &bytes[..]));
    complete(&client, &id, copied.len() as i32, Some(checksum)).await.unwrap();
    for ((index, bytes), (listed, token)) in copied.iter().zip(list(&client, &id).await) {
        assert_eq!(*index, listed);
        assert!(get(&client, &id, listed, &token).await.unwrap() == *bytes);
    }
}

#[tokio::test]
async fn a_child_is_its_parent_and_what_was_written() {
    let running = sandbox(calm()).await;
    let client = client(&running);
    let parent = list(&client, FIRST).await;
    let fresh = (0..).find(|index| !parent.iter().any(|(listed, _)| listed == index)).unwrap();
    let over = parent[10].0;
    let child = start(&client, 3, Some(FIRST)).await;
    put(&client, &child, fresh, block(8)).await.unwrap();
    put(&client, &child, over, block(9)).await.unwrap();
    complete(&client, &child, 2, None).await.unwrap();
    let listed = list(&client, &child).await;
    assert_eq!(listed.len(), parent.len() + 1);
    let token = |index| &listed.iter().find(|(listed, _)| *listed == index).unwrap().1;
    assert!(get(&client, &child, over, token(over)).await.unwrap() == block(9));
    let (untouched, theirs) = &parent[20];
    let same = get(&client, &child, *untouched, token(*untouched)).await.unwrap();
    assert!(same == get(&client, FIRST, *untouched, theirs).await.unwrap());
    let delta = client.list_changed_blocks().first_snapshot_id(FIRST).second_snapshot_id(&child).send().await.unwrap();
    let mut changed: Vec<i32> = delta.changed_blocks().iter().map(|b| b.block_index().unwrap()).collect();
    changed.sort_unstable();
    let mut expected = vec![fresh, over];
    expected.sort_unstable();
    assert_eq!(changed, expected);
}

#[tokio::test]
async fn a_wrong_count_or_checksum_loses_the_snapshot() {
    let running = sandbox(calm()).await;
    let client = client(&running);
    for (count, checksum) in [(2, None), (1, Some(sha(b"other")))] {
        let id = start(&client, 1, None).await;
        put(&client, &id, 0, block(1)).await.unwrap();
        let refused = refusal(complete(&client, &id, count, checksum).await);
        assert_eq!(refused, validation("INVALID_PARAMETER_VALUE"));
        assert!(matches!(state_of(&running, &id), SnapshotState::Error(_)));
        assert_eq!(refusal(complete(&client, &id, 1, None).await).0, 400, "and it stays lost");
    }
}

#[tokio::test]
async fn a_block_is_taken_only_whole_in_range_and_with_its_checksum() {
    let running = sandbox(calm()).await;
    let client = client(&running);
    let id = start(&client, 1, None).await;
    assert_eq!(refusal(put(&client, &id, 2048, block(1)).await), validation("INVALID_BLOCK"));
    assert_eq!(refusal(put(&client, &id, 0, vec![1; 1000]).await), validation("INVALID_PARAMETER_VALUE"));
    let ask = client.put_snapshot_block().snapshot_id(&id).block_index(0).data_length(524_288);
    let ask = ask.checksum_algorithm(ChecksumAlgorithm::ChecksumAlgorithmSha256).checksum(sha(b"other"));
    let refused = ask.block_data(ByteStream::from(block(1))).send().await;
    assert_eq!(refusal(refused), validation("INVALID_PARAMETER_VALUE"));
    assert_eq!(complete(&client, &id, 0, None).await.unwrap(), "pending", "nothing of that was taken");
    assert_eq!(refusal(put(&client, FIRST, 0, block(1)).await), validation("INVALID_SNAPSHOT_ID"));
}

#[tokio::test]
async fn a_snapshot_just_started_may_not_be_seen_at_first() {
    let running = sandbox(Faults { unseen_ms: 60_000, ..calm() }).await;
    let client = client(&running);
    let id = start(&client, 1, None).await;
    let unseen = (404, "ResourceNotFoundException".into(), "SNAPSHOT_NOT_FOUND".into());
    assert_eq!(refusal(put(&client, &id, 0, block(1)).await), unseen);
    running.sandbox.set_faults(Faults { unseen_ms: 60_000, advance_ms: 60_000, ..calm() });
    put(&client, &id, 0, block(1)).await.unwrap();
}

#[tokio::test]
async fn a_snapshot_without_writes_times_out() {
    let running = sandbox(calm()).await;
    let client = client(&running);
    let ask = client.start_snapshot().volume_size(1).timeout(10).send().await.unwrap();
    let id = ask.snapshot_id().unwrap();
    running.sandbox.set_faults(Faults { advance_ms: 9 * 60_000, ..calm() });
    put(&client, id, 0, block(1)).await.unwrap();
    running.sandbox.set_faults(Faults { advance_ms: 18 * 60_000, ..calm() });
    put(&client, id, 1, block(1)).await.unwrap();
    running.sandbox.set_faults(Faults { advance_ms: 29 * 60_000, ..calm() });
    assert_eq!(refusal(put(&client, id, 2, block(1)).await), validation("WRITE_REQUEST_TIMEOUT"));
    assert!(matches!(state_of(&running, id), SnapshotState::Error(_)));
}

#[tokio::test]
async fn completion_takes_its_time() {
    let running = sandbox(Faults { completing_ms: 30_000, ..calm() }).await;
    let client = client(&running);
    let id = start(&client, 1, None).await;
    complete(&client, &id, 0, None).await.unwrap();
    assert_eq!(state_of(&running, &id), SnapshotState::Pending);
    running.sandbox.set_faults(Faults { completing_ms: 30_000, advance_ms: 30_000, ..calm() });
    assert!(list(&client, &id).await.is_empty());
    assert_eq!(state_of(&running, &id), SnapshotState::Completed);
}

#[tokio::test]
async fn a_client_token_starts_one_snapshot() {
    let running = sandbox(calm()).await;
    let client = client(&running);
    let ask = |size| client.start_snapshot().volume_size(size).client_token("job-1-eu-west-1-1").send();
    let first = ask(1).await.unwrap();
    assert_eq!(ask(1).await.unwrap().snapshot_id(), first.snapshot_id());
    assert_eq!(refusal(ask(2).await), (409, "ConflictException".into(), String::new()));
}

#[tokio::test]
async fn pending_snapshots_are_limited() {
    let running = sandbox(calm()).await;
    {
        let mut model = running.sandbox.model_mut();
        let region = model.region_mut(&OURS.parse().unwrap(), &"eu-west-1".parse().unwrap()).unwrap();
        region.settings.quotas.insert("L-94D7AB7D".into(), 2.0);
    }
    let client = client(&running);
    let first = start(&client, 1, None).await;
    start(&client, 1, None).await;
    let third = || client.start_snapshot().volume_size(1).send();
    assert_eq!(refusal(third().await), (400, "ConcurrentLimitExceededException".into(), String::new()));
    complete(&client, &first, 0, None).await.unwrap();
    assert!(third().await.is_ok());
}

#[tokio::test]
async fn a_start_is_refused_for_what_it_may_not_ask() {
    let running = sandbox(calm()).await;
    let client = client(&running);
    let ask = || client.start_snapshot().volume_size(3);
    let wrong = validation("INVALID_PARAMETER_VALUE");
    assert_eq!(refusal(ask().volume_size(0).send().await), validation("INVALID_VOLUME_SIZE"));
    assert_eq!(refusal(ask().volume_size(65_537).send().await), validation("INVALID_VOLUME_SIZE"));
    assert_eq!(refusal(ask().timeout(9).send().await), wrong);
    assert_eq!(refusal(ask().timeout(4321).send().await), wrong);
    assert_eq!(refusal(ask().parent_snapshot_id(FIRST).encrypted(true).send().await), wrong);
    assert_eq!(refusal(ask().parent_snapshot_id(FIRST).encrypted(false).send().await), wrong);
    assert_eq!(refusal(ask().parent_snapshot_id(FIRST).volume_size(2).send().await), validation("INVALID_VOLUME_SIZE"));
    let key = "arn:aws:kms:eu-west-1:111122223333:key/k";
    assert_eq!(refusal(ask().kms_key_arn(key).send().await), wrong);
    let alias = "arn:aws:kms:eu-west-1:111122223333:alias/k";
    assert_eq!(refusal(ask().encrypted(true).kms_key_arn(alias).send().await), validation("INVALID_CUSTOMER_KEY"));
    let tag = Tag::builder().key("k".repeat(128)).value("v").build();
    assert_eq!(refusal(ask().tags(tag).send().await), validation("INVALID_TAG"));
}

#[tokio::test]
async fn encryption_comes_out_as_the_table_says() {
    let running = sandbox(calm()).await;
    let client = client(&running);
    let ask = || client.start_snapshot().volume_size(3);
    let key = "arn:aws:kms:eu-west-1:111122223333:key/k";
    let parents = format!("arn:aws:kms:eu-west-1:{OURS}:key/parent");
    for by_default in [false, true] {
        {
            let mut model = running.sandbox.model_mut();
            let region = model.region_mut(&OURS.parse().unwrap(), &"eu-west-1".parse().unwrap()).unwrap();
            region.settings.encrypt_by_default = by_default;
        }
        assert_eq!(ask().send().await.unwrap().kms_key_arn().is_some(), by_default);
        assert!(ask().encrypted(true).send().await.unwrap().kms_key_arn().unwrap().contains(":key/"));
        assert_eq!(ask().encrypted(true).kms_key_arn(key).send().await.unwrap().kms_key_arn(), Some(key));
        let on_encrypted = ask().parent_snapshot_id(ENCRYPTED).send().await.unwrap();
        assert_eq!(on_encrypted.kms_key_arn(), Some(parents.as_str()));
        assert_eq!(on_encrypted.parent_snapshot_id(), Some(ENCRYPTED));
        let on_plain = ask().parent_snapshot_id(FIRST).send().await;
        assert_eq!(on_plain.is_err(), by_default, "an unencrypted parent under encryption by default");
    }
}
