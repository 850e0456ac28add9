//! Names of the plan's choices as they are typed; their meaning is the plan's.

use clap::ValueEnum;

use crate::plan::{OmitZeros, Pace, Strategy, Verify};

macro_rules! choices {
    ($($type:ty { $($name:literal => $value:expr, $help:literal;)* })*) => {$(
        impl ValueEnum for $type {
            fn value_variants<'a>() -> &'a [Self] {
                &[$($value),*]
            }
            fn to_possible_value(&self) -> Option<clap::builder::PossibleValue> {
                $(if *self == $value {
                    return Some(clap::builder::PossibleValue::new($name).help($help));
                })*
                None
            }
        }
    )*};
}

choices! {
    Pace {
        "balanced" => Pace::Balanced, "The default trade-off";
        "aggressive" => Pace::Aggressive, "Starts higher, ramps faster";
        "conservative" => Pace::Conservative, "Fewer lanes, gentler steps";
        "cost-efficient" => Pace::CostEfficient, "Fewest requests first";
    }
    Strategy {
        "direct" => Strategy::Direct, "Through this engine, block by block";
        "native" => Strategy::Native, "By the service (CopySnapshot; an image always, by CopyImage)";
        "auto" => Strategy::Auto, "Whichever the plan finds better";
    }
    Verify {
        "none" => Verify::None, "Nothing is listed or read back";
        "listing" => Verify::Listing, "The result's list equals what was written";
        "checksum" => Verify::Checksum, "Checksums that the service keeps are compared as well";
        "full" => Verify::Full, "Every block is read back; of a file all of it, with its SHA-256";
    }
    OmitZeros {
        "off" => OmitZeros::Off, "None";
        "holes" => OmitZeros::Holes, "A file's holes";
        "all" => OmitZeros::All, "Also blocks of zeros in files";
    }
}
