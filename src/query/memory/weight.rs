//! What rows take in memory.

use std::collections::HashSet;

use datafusion::arrow::{
    array::{Array, ArrayData, ArrayRef, AsArray, GenericByteViewArray, OffsetSizeTrait, RecordBatch},
    datatypes::{
        ArrowNativeType, BinaryType, ByteArrayType, ByteViewType, DataType, Field, LargeBinaryType, LargeUtf8Type,
        Schema, Utf8Type,
    },
};

/// Bytes of a value that lies elsewhere and is pointed to: what a view holds itself is shorter.
const INLINE: u32 = 12;
/// Bytes of a view.
const VIEW: usize = 16;

/// Bytes that a copy of these rows would take. What values of a dictionary take is not counted: copies of
/// rows share them.
pub fn of_batch(batch: &RecordBatch) -> usize {
    batch.columns().iter().map(|column| of_array(column.as_ref())).sum()
}

/// Bytes that putting these rows together with others takes: what views point to is not copied.
pub fn of_references(batch: &RecordBatch) -> usize {
    let bytes = |column: &ArrayRef| match column.data_type() {
        DataType::Utf8View | DataType::BinaryView => column.len() * VIEW,
        _ => of_array(column.as_ref()),
    };
    batch.columns().iter().map(bytes).sum()
}

/// Bytes that a copy of an array would take.
pub fn of_array(array: &dyn Array) -> usize {
    let rows = array.len();
    match array.data_type() {
        DataType::Null => 0,
        DataType::Boolean => rows.div_ceil(8),
        DataType::Utf8View => of_views(array.as_string_view()),
        DataType::BinaryView => of_views(array.as_binary_view()),
        DataType::Utf8 => of_bytes::<Utf8Type>(array),
        DataType::LargeUtf8 => of_bytes::<LargeUtf8Type>(array),
        DataType::Binary => of_bytes::<BinaryType>(array),
        DataType::LargeBinary => of_bytes::<LargeBinaryType>(array),
        DataType::List(_) => of_list::<i32>(array),
        DataType::LargeList(_) => of_list::<i64>(array),
        DataType::Map(_, _) => {
            let map = array.as_map();
            of_parts(map.value_offsets(), map.entries())
        }
        DataType::FixedSizeList(_, _) => of_array(array.as_fixed_size_list().values().as_ref()),
        DataType::Struct(_) => array.as_struct().columns().iter().map(|column| of_array(column.as_ref())).sum(),
        DataType::Dictionary(key, _) => rows * key.primitive_width().unwrap_or(8),
        other => other.primitive_width().map_or_else(|| array.get_buffer_memory_size(), |width| rows * width),
    }
}

fn of_views<T: ByteViewType + ?Sized>(array: &GenericByteViewArray<T>) -> usize {
    let far: u64 = array.lengths().filter(|length| *length > INLINE).map(u64::from).sum();
    array.len() * VIEW + usize::try_from(far).unwrap_or(usize::MAX)
}

fn of_bytes<T: ByteArrayType>(array: &dyn Array) -> usize {
    let offsets = array.as_bytes::<T>().value_offsets();
    let held = match (offsets.first(), offsets.last()) {
        (Some(first), Some(last)) => last.as_usize() - first.as_usize(),
        _ => 0,
    };
    held + std::mem::size_of_val(offsets)
}

fn of_list<O: OffsetSizeTrait>(array: &dyn Array) -> usize {
    let list = array.as_list::<O>();
    of_parts(list.value_offsets(), list.values().as_ref())
}

fn of_parts<O: OffsetSizeTrait>(offsets: &[O], values: &dyn Array) -> usize {
    let held = match (offsets.first(), offsets.last()) {
        (Some(first), Some(last)) => {
            let (first, last) = (first.as_usize(), last.as_usize());
            of_array(values.slice(first, last - first).as_ref())
        }
        _ => 0,
    };
    held + std::mem::size_of_val(offsets)
}

/// Whether to repeat a value of this type is to copy all that it holds. Of a view or an entry of a
/// dictionary it is but a number of fixed size.
pub fn is_copied(data_type: &DataType) -> bool {
    match data_type {
        DataType::Utf8View | DataType::BinaryView | DataType::Dictionary(_, _) => false,
        other => !other.is_primitive() && !matches!(other, DataType::Null | DataType::Boolean),
    }
}

/// Whether a column's values are copied where they are repeated.
pub fn is_heavy(field: &Field) -> bool {
    is_copied(field.data_type())
}

/// Whether some column of a schema is.
pub fn has_heavy(schema: &Schema) -> bool {
    schema.fields().iter().any(|field| is_heavy(field))
}

/// Bytes of the widest row among the columns whose values are copied where they are repeated.
pub fn widest_row(batch: &RecordBatch) -> usize {
    let heavy: Vec<_> = batch.columns().iter().filter(|column| is_copied(column.data_type())).collect();
    let width = |row: usize| heavy.iter().map(|column| of_array(column.slice(row, 1).as_ref())).sum();
    (0..batch.num_rows()).map(width).max().unwrap_or(0)
}

/// The large buffers that views point into, each counted once.
#[derive(Debug, Default)]
pub struct ViewBuffers {
    seen: HashSet<usize>,
    bytes: usize,
}

impl ViewBuffers {
    /// Counts what an array keeps alive.
    pub fn hold(&mut self, array: &dyn Array) {
        if holds_views(array.data_type()) {
            self.hold_data(&array.to_data());
        }
    }

    fn hold_data(&mut self, data: &ArrayData) {
        if matches!(data.data_type(), DataType::Utf8View | DataType::BinaryView) {
            for buffer in data.buffers().iter().skip(1) {
                if self.seen.insert(buffer.data_ptr().addr().get()) {
                    self.bytes += buffer.capacity();
                }
            }
        }
        data.child_data().iter().for_each(|child| self.hold_data(child));
    }

    /// Bytes of all that are held.
    pub fn bytes(&self) -> usize {
        self.bytes + self.seen.capacity() * (size_of::<usize>() + 1)
    }

    /// Nothing is held any more.
    pub fn clear(&mut self) {
        *self = ViewBuffers::default();
    }
}

fn holds_views(data_type: &DataType) -> bool {
    match data_type {
        DataType::Utf8View | DataType::BinaryView => true,
        DataType::List(field) | DataType::LargeList(field) | DataType::FixedSizeList(field, _) => {
            holds_views(field.data_type())
        }
        DataType::Map(field, _) => holds_views(field.data_type()),
        DataType::Struct(fields) => fields.iter().any(|field| holds_views(field.data_type())),
        DataType::Dictionary(_, values) => holds_views(values),
        _ => false,
    }
}
