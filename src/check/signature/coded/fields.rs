//! Where a delivery's id and type are, for schemes in code that leave that to the catalogue.
//!
//! Must never call a header or a member signed that the scheme's own check does not cover.

use bytes::Bytes;
use http::{HeaderMap, HeaderName};

use crate::check::signature::flaw::{SchemeFlaw, SchemeProblem};
use crate::check::signature::json::{self, Path, Scalar};
use crate::check::signature::scheme::{FieldSpec, SchemeSpec};
use crate::check::signature::template::single;
use crate::check::signature::verified::Field;
use crate::check::signature::{Failure, is_presentable};

/// The places of both.
#[derive(Debug)]
pub(super) struct Fields {
    id: Option<Place>,
    event_type: Option<Place>,
}

#[derive(Debug)]
enum Place {
    Header(HeaderName),
    Json(Path),
}

impl Fields {
    pub(super) fn compile(spec: &SchemeSpec, problems: &mut Vec<SchemeProblem>) -> Self {
        let mut place = |field: &'static str, spec: Option<&FieldSpec>| match place_of(spec?) {
            Ok(place) => Some(place),
            Err(flaw) => {
                problems.push(SchemeProblem { field, flaw });
                None
            }
        };
        Self { id: place("id", spec.id.as_ref()), event_type: place("event_type", spec.event_type.as_ref()) }
    }

    /// The headers among them.
    pub(super) fn headers(&self) -> impl Iterator<Item = HeaderName> {
        [&self.id, &self.event_type].into_iter().flatten().filter_map(|place| match place {
            Place::Header(name) => Some(name.clone()),
            Place::Json(_) => None,
        })
    }

    /// Whether the id is in the body.
    pub(super) fn id_is_in_body(&self) -> bool {
        matches!(self.id, Some(Place::Json(_)))
    }

    /// Id and type of a verified delivery.
    ///
    /// # Errors
    /// `header_repeated`: the app might read the other one.
    pub(super) fn read(
        &self,
        headers: &HeaderMap,
        body: &[u8],
        body_is_signed: bool,
        is_signed: impl Fn(&HeaderName) -> bool,
    ) -> Result<[Option<Field>; 2], Failure> {
        let places = [self.id.as_ref(), self.event_type.as_ref()];
        let [id_path, type_path] = places.map(|place| match place {
            Some(Place::Json(path)) => Some(path),
            Some(Place::Header(_)) | None => None,
        });
        let found = match (id_path, type_path) {
            (None, None) => Default::default(),
            (Some(_), _) | (_, Some(_)) => json::read(&[Bytes::copy_from_slice(body)], [id_path, type_path, None]),
        };
        let [json_id, json_type, _] = found;
        let header = |place: Option<&Place>| match place {
            Some(Place::Header(name)) if headers.contains_key(name) => {
                let value = single(headers, name)?;
                let fits = std::str::from_utf8(value.as_bytes()).is_ok_and(is_presentable);
                Ok(Some((value, fits, is_signed(name))))
            }
            Some(Place::Header(_) | Place::Json(_)) | None => Ok(None),
        };
        let [id_place, type_place] = places;
        let id = match header(id_place)? {
            Some((value, true, signed)) => Field::new(Some(value), None, signed),
            Some((value, false, signed)) => Some(Field::unfit(value.as_bytes(), signed)),
            None => json_id.map(|found| Field::id(found, body_is_signed)),
        };
        let event_type = match header(type_place)? {
            Some((value, fits, signed)) => Field::new(Some(value).filter(|_| fits), None, signed),
            None => Field::new(None, json_type.and_then(Scalar::into_text), body_is_signed),
        };
        Ok([id, event_type])
    }
}

fn place_of(spec: &FieldSpec) -> Result<Place, SchemeFlaw> {
    match (&spec.header, &spec.json) {
        (Some(names), None) => {
            let name = names.of_family(0).unwrap_or_default();
            HeaderName::try_from(name).map(Place::Header).map_err(|_| SchemeFlaw::NotAHeader(name.into()))
        }
        (None, Some(path)) => Path::parse(path).map(Place::Json).ok_or(SchemeFlaw::NotAPath),
        (Some(_), Some(_)) | (None, None) => Err(SchemeFlaw::ExactlyOne("header", "json")),
    }
}
