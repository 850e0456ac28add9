use super::*;
use crate::units::Sure;

fn region(name: &str) -> Region {
    name.parse().expect("a region")
}

fn near(found: Quantity<Usd>, wanted: f64) {
    assert!((found.value.0 - wanted).abs() < 1e-9, "{found:?} for {wanted}");
}

#[test]
fn the_table_says_what_it_knows_and_what_it_does_not() {
    let prices = Prices::bundled();
    assert_eq!(prices.version(), 2);
    let (use1, use2, nowhere) = (region("us-east-1"), region("us-east-2"), region("xx-nowhere-9"));
    assert_eq!(prices.snapshot_month(&use1), Quantity::exact(Usd(0.05)));
    assert_eq!(prices.snapshot_month(&use2).sure, Sure::Estimate);
    assert_eq!(prices.snapshot_month(&nowhere).sure, Sure::Unknown);
    assert_eq!(prices.egress(&nowhere, 0.0, 1.0).sure, Sure::Unknown);
    assert_eq!(prices.between(&use1, &use2), Quantity::exact(Usd(0.01)));
    assert_eq!(prices.between(&use1, &use1), Quantity::exact(Usd(0.0)));
    assert_eq!(prices.request(Api::Get, &use1), Quantity::exact(Usd(0.000_003)));
    assert_eq!(prices.request(Api::Get, &use2).sure, Sure::Estimate);
    near(prices.volume_month(&use1, "gp3", 100.0, Some(4000), Some(125)), 13.0);
}

#[test]
fn egress_goes_through_the_tiers_of_a_month() {
    let prices = Prices::bundled();
    let use1 = region("us-east-1");
    near(prices.egress(&use1, 0.0, 10_240.0), 921.6);
    near(prices.egress(&use1, 0.0, 51_200.0), 921.6 + 3481.6);
    near(prices.egress(&use1, 0.0, 200_000.0), 921.6 + 3481.6 + 7168.0 + 46_400.0 * 0.05);
    // What went before is paid for already.
    near(prices.egress(&use1, 10_000.0, 480.0), 240.0 * 0.09 + 240.0 * 0.085);
    assert_eq!(prices.egress(&use1, 0.0, 1.0).sure, Sure::AtMost);
    near(prices.egress(&region("ap-southeast-2"), 0.0, 20_480.0), 1_167.36 + 1_003.52);
}

/// Ten prices as AWS or a peer's documentation publishes them.
#[test]
fn ten_published_examples_come_out() {
    let prices = Prices::bundled();
    let use1 = region("us-east-1");
    let ebs = |api, blocks: f64| prices.request(api, &use1).value.0 * blocks;
    const TIB: f64 = 2_097_152.0;
    let s3 = |class: &str| prices.s3(class, &use1);
    let published = [
        ("EBS direct: Get of a written TiB", ebs(Api::Get, TIB), 6.29),
        ("EBS direct: Put of a written TiB", ebs(Api::Put, TIB), 12.58),
        ("EBS direct: a copied TiB", ebs(Api::Get, TIB) + ebs(Api::Put, TIB), 18.87),
        ("EBS direct: Get of 16 TiB", ebs(Api::Get, 16.0 * TIB), 100.66),
        ("EBS direct: Put of 64 TiB", ebs(Api::Put, 64.0 * TIB), 805.31),
        ("1,000 pages listed", ebs(Api::List, 1000.0), 0.0006),
        ("S3: one object per block of a TiB", s3("STANDARD").put.value.0 * TIB, 10.49),
        ("S3: a TiB in segments of 32 MiB", s3("STANDARD").put.value.0 * TIB / 64.0, 0.164),
        ("snapshots: 100 GiB for a month", prices.snapshot_month(&use1).value.0 * 100.0, 5.0),
        ("archive tier: 100 GiB for a month", prices.archive_tier(&use1).month.value.0 * 100.0, 1.25),
    ];
    for (what, found, wanted) in published {
        assert!((found - wanted).abs() < 0.006 * wanted.max(0.05), "{what}: {found} for {wanted}");
    }
}

#[test]
fn what_aws_told_lies_over_the_table_and_only_where_it_told() {
    let told = Told { snapshot: Some(0.04), get: Some(0.000_004), ..Told::default() };
    let live = Live {
        as_of: "2026-11-27".to_owned(),
        regions: [(region("us-east-1"), told)].into(),
        pairs: [("us-east-1>eu-west-1".to_owned(), 0.017)].into(),
        internet: [(region("us-east-1"), vec![(10.0, 0.1), (f64::MAX, 0.01)])].into(),
    };
    let prices = Prices::with(Some(&live));
    let (use1, euw1) = (region("us-east-1"), region("eu-west-1"));
    assert_eq!(prices.snapshot_month(&use1), Quantity::exact(Usd(0.04)));
    assert_eq!(prices.request(Api::Get, &use1), Quantity::exact(Usd(0.000_004)));
    assert_eq!(prices.request(Api::Put, &use1), Quantity::exact(Usd(0.000_006)), "not told: the table's");
    assert_eq!(prices.snapshot_month(&euw1), Prices::bundled().snapshot_month(&euw1));
    near(prices.between(&use1, &euw1), 0.017);
    near(prices.egress(&use1, 0.0, 20.0), 1.1);
    assert_eq!(prices.date(), "2026-11-27 (live)");
}
