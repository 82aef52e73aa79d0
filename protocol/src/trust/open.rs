//! Reads JSON objects whose unknown fields are kept, in one pass.
//!
//! `#[serde(flatten)]` means the same, but buffers every object first: with it, reading metadata costs several times as
//! much, on devices and in simulated fleets of a hundred thousand.

use alloc::borrow::Cow;

use serde::Deserialize;

/// The name of a field, borrowed where the reader can lend it.
#[derive(Deserialize)]
#[serde(transparent)]
pub(super) struct Key<'a>(#[serde(borrow)] pub Cow<'a, str>);

/// Implements `Deserialize` for a type: its fields by name and type, `or` what stands for a missing one, and how it is
/// built from them and the unknown ones.
macro_rules! open_object {
    ($type:ident { $($name:ident: $field:ty = $key:literal $(or $default:expr)?),+ $(,)? }, $extra:ident => $build:expr) => {
        impl<'de> serde::Deserialize<'de> for $type {
            fn deserialize<D: serde::Deserializer<'de>>(reader: D) -> Result<Self, D::Error> {
                struct Object;

                impl<'de> serde::de::Visitor<'de> for Object {
                    type Value = $type;

                    fn expecting(&self, f: &mut core::fmt::Formatter<'_>) -> core::fmt::Result {
                        f.write_str("an object")
                    }

                    fn visit_map<A: serde::de::MapAccess<'de>>(self, mut entries: A) -> Result<$type, A::Error> {
                        use serde::de::Error;
                        $(let mut $name: Option<$field> = None;)+
                        let mut $extra = $crate::trust::key::Extra::new();
                        while let Some($crate::trust::open::Key(key)) = entries.next_key()? {
                            match &*key {
                                $($key => {
                                    if $name.replace(entries.next_value()?).is_some() {
                                        return Err(A::Error::duplicate_field($key));
                                    }
                                })+
                                _ => {
                                    $extra.insert(key.into_owned(), entries.next_value()?);
                                }
                            }
                        }
                        $(let $name = match $name {
                            Some(value) => value,
                            None => open_object!(@missing A, $key $(, $default)?),
                        };)+
                        Ok($build)
                    }
                }

                reader.deserialize_map(Object)
            }
        }
    };
    (@missing $access:ident, $key:literal) => { return Err($access::Error::missing_field($key)) };
    (@missing $access:ident, $key:literal, $default:expr) => { $default };
}
pub(super) use open_object;
