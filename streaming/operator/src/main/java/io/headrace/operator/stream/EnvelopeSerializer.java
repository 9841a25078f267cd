package io.headrace.operator.stream;

import java.io.IOException;
import org.apache.flink.api.common.typeutils.SimpleTypeSerializerSnapshot;
import org.apache.flink.api.common.typeutils.TypeSerializerSnapshot;
import org.apache.flink.api.common.typeutils.base.TypeSerializerSingleton;
import org.apache.flink.core.memory.DataInputView;
import org.apache.flink.core.memory.DataOutputView;

/** Writes envelopes between stages and into the buffers of ordered mode. */
public final class EnvelopeSerializer extends TypeSerializerSingleton<Envelope> {
    /** The one instance. */
    public static final EnvelopeSerializer INSTANCE = new EnvelopeSerializer();

    @Override
    public boolean isImmutableType() {
        return false;
    }

    @Override
    public Envelope createInstance() {
        return new Envelope();
    }

    @Override
    public Envelope copy(Envelope from) {
        Envelope to = new Envelope();
        to.source = from.source;
        to.available = from.available;
        to.time = from.time;
        to.row = from.row;
        to.raw = from.raw;
        to.partition = from.partition;
        to.offset = from.offset;
        to.sentAt = from.sentAt;
        to.rawKey = from.rawKey;
        to.reason = from.reason;
        to.message = from.message;
        to.values = from.values == null ? null : from.values.clone();
        to.sequences = from.sequences == null ? null : from.sequences.clone();
        to.statuses = from.statuses == null ? null : from.statuses.clone();
        return to;
    }

    @Override
    public Envelope copy(Envelope from, Envelope reuse) {
        return copy(from);
    }

    @Override
    public int getLength() {
        return -1;
    }

    @Override
    public void serialize(Envelope record, DataOutputView out) throws IOException {
        out.writeByte(record.source);
        out.writeLong(record.available);
        out.writeLong(record.time);
        out.writeBoolean(record.row != null);
        if (record.row != null) {
            writeAll(out, record.row);
        }
        Scalars.writeBytes(out, record.raw);
        out.writeInt(record.partition);
        out.writeLong(record.offset);
        out.writeLong(record.sentAt);
        Scalars.writeBytes(out, record.rawKey);
        Scalars.write(out, record.reason);
        Scalars.write(out, record.message);
        out.writeBoolean(record.values != null);
        if (record.values != null) {
            writeAll(out, record.values);
            out.writeByte(record.sequences.length);
            for (int i = 0; i < record.sequences.length; i++) {
                out.writeLong(record.sequences[i]);
                out.writeByte(record.statuses[i]);
            }
        }
    }

    @Override
    public Envelope deserialize(DataInputView in) throws IOException {
        Envelope record = new Envelope();
        record.source = in.readByte();
        record.available = in.readLong();
        record.time = in.readLong();
        record.row = in.readBoolean() ? readAll(in) : null;
        record.raw = Scalars.readBytes(in);
        record.partition = in.readInt();
        record.offset = in.readLong();
        record.sentAt = in.readLong();
        record.rawKey = Scalars.readBytes(in);
        record.reason = (String) Scalars.read(in);
        record.message = (String) Scalars.read(in);
        if (in.readBoolean()) {
            record.values = readAll(in);
            int views = in.readByte();
            record.sequences = new long[views];
            record.statuses = new byte[views];
            for (int i = 0; i < views; i++) {
                record.sequences[i] = in.readLong();
                record.statuses[i] = in.readByte();
            }
        }
        return record;
    }

    @Override
    public Envelope deserialize(Envelope reuse, DataInputView in) throws IOException {
        return deserialize(in);
    }

    @Override
    public void copy(DataInputView in, DataOutputView out) throws IOException {
        serialize(deserialize(in), out);
    }

    @Override
    public TypeSerializerSnapshot<Envelope> snapshotConfiguration() {
        return new Snapshot();
    }

    private static void writeAll(DataOutputView out, Object[] values) throws IOException {
        out.writeShort(values.length);
        for (Object value : values) {
            Scalars.write(out, value);
        }
    }

    private static Object[] readAll(DataInputView in) throws IOException {
        Object[] values = new Object[in.readShort()];
        for (int i = 0; i < values.length; i++) {
            values[i] = Scalars.read(in);
        }
        return values;
    }

    /** What a savepoint says of this serializer. */
    public static final class Snapshot extends SimpleTypeSerializerSnapshot<Envelope> {
        /** For Flink, which reads it back by name. */
        public Snapshot() {
            super(() -> INSTANCE);
        }
    }
}
