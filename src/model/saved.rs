//! How values stand in saved plans that serde would not write so that they can be read back as they were.

/// A moment: microseconds since the Unix epoch, the infinities included.
pub mod optional_micros {
    use serde::{Deserialize as _, Deserializer, Serialize as _, Serializer};

    use crate::time::Timestamp;

    /// Writes one.
    ///
    /// # Errors
    /// Those of the serializer.
    pub fn serialize<S: Serializer>(moment: &Option<Timestamp>, serializer: S) -> Result<S::Ok, S::Error> {
        moment.map(Timestamp::as_micros).serialize(serializer)
    }

    /// Reads one.
    ///
    /// # Errors
    /// Those of the deserializer.
    pub fn deserialize<'de, D: Deserializer<'de>>(deserializer: D) -> Result<Option<Timestamp>, D::Error> {
        Ok(Option::<i64>::deserialize(deserializer)?.map(Timestamp::from_micros))
    }
}

/// Perhaps a text that may be absent: a list of one, so that "absent" and "set to nothing" stay two things.
pub mod nested {
    use serde::{Deserialize as _, Deserializer, Serialize as _, Serializer};

    /// Writes one.
    ///
    /// # Errors
    /// Those of the serializer.
    pub fn serialize<S: Serializer>(value: &Option<Option<String>>, serializer: S) -> Result<S::Ok, S::Error> {
        value.as_ref().map(|inner| [inner]).serialize(serializer)
    }

    /// Reads one.
    ///
    /// # Errors
    /// Those of the deserializer.
    pub fn deserialize<'de, D: Deserializer<'de>>(deserializer: D) -> Result<Option<Option<String>>, D::Error> {
        Ok(Option::<[Option<String>; 1]>::deserialize(deserializer)?.map(|[inner]| inner))
    }
}
