package io.headrace.operator.stream;

import java.io.IOException;
import org.apache.flink.api.common.typeutils.TypeSerializer;
import org.apache.flink.core.memory.DataInputView;
import org.apache.flink.core.memory.DataOutputView;

/** Writes what is kept in packed form, and never changed: its bytes, after their number. */
abstract class PackedSerializer<T> extends TypeSerializer<T> {
    private static final long serialVersionUID = 1L;

    /** The bytes of a value, in the form that is written. */
    abstract byte[] bytes(T value);

    /** The value of bytes that were written. */
    abstract T of(byte[] bytes);

    @Override
    public boolean isImmutableType() {
        return true;
    }

    @Override
    public TypeSerializer<T> duplicate() {
        // It keeps nothing from one value to the next.
        return this;
    }

    @Override
    public T copy(T from) {
        return from;
    }

    @Override
    public T copy(T from, T reuse) {
        return from;
    }

    @Override
    public int getLength() {
        return -1;
    }

    @Override
    public void serialize(T value, DataOutputView out) throws IOException {
        Scalars.writeBytes(out, bytes(value));
    }

    @Override
    public T deserialize(DataInputView in) throws IOException {
        return of(Scalars.readBytes(in));
    }

    @Override
    public T deserialize(T reuse, DataInputView in) throws IOException {
        return deserialize(in);
    }

    @Override
    public void copy(DataInputView in, DataOutputView out) throws IOException {
        Scalars.writeBytes(out, Scalars.readBytes(in));
    }
}
