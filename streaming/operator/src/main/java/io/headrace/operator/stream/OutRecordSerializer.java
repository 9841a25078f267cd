package io.headrace.operator.stream;

import java.io.IOException;
import org.apache.flink.api.common.typeutils.SimpleTypeSerializerSnapshot;
import org.apache.flink.api.common.typeutils.TypeSerializerSnapshot;
import org.apache.flink.api.common.typeutils.base.TypeSerializerSingleton;
import org.apache.flink.core.memory.DataInputView;
import org.apache.flink.core.memory.DataOutputView;

/** Writes records on their way to a sink. */
public final class OutRecordSerializer extends TypeSerializerSingleton<OutRecord> {
    /** The one instance. */
    public static final OutRecordSerializer INSTANCE = new OutRecordSerializer();

    @Override
    public boolean isImmutableType() {
        return true;
    }

    @Override
    public OutRecord createInstance() {
        return new OutRecord();
    }

    @Override
    public OutRecord copy(OutRecord from) {
        return from;
    }

    @Override
    public OutRecord copy(OutRecord from, OutRecord reuse) {
        return from;
    }

    @Override
    public int getLength() {
        return -1;
    }

    @Override
    public void serialize(OutRecord record, DataOutputView out) throws IOException {
        Scalars.write(out, record.topic);
        Scalars.writeBytes(out, record.key);
        Scalars.writeBytes(out, record.value);
        Scalars.write(out, record.placedBy);
        out.writeByte(record.headers == null ? 0 : record.headers.length);
        if (record.headers != null) {
            for (String header : record.headers) {
                Scalars.write(out, header);
            }
        }
    }

    @Override
    public OutRecord deserialize(DataInputView in) throws IOException {
        String topic = (String) Scalars.read(in);
        byte[] key = Scalars.readBytes(in);
        byte[] value = Scalars.readBytes(in);
        String placedBy = (String) Scalars.read(in);
        int length = in.readByte();
        String[] headers = length == 0 ? null : new String[length];
        for (int i = 0; i < length; i++) {
            headers[i] = (String) Scalars.read(in);
        }
        OutRecord record = new OutRecord(topic, key, value, headers);
        record.placedBy = placedBy;
        return record;
    }

    @Override
    public OutRecord deserialize(OutRecord reuse, DataInputView in) throws IOException {
        return deserialize(in);
    }

    @Override
    public void copy(DataInputView in, DataOutputView out) throws IOException {
        serialize(deserialize(in), out);
    }

    @Override
    public TypeSerializerSnapshot<OutRecord> snapshotConfiguration() {
        return new Snapshot();
    }

    /** What a savepoint says of this serializer. */
    public static final class Snapshot extends SimpleTypeSerializerSnapshot<OutRecord> {
        /** For Flink, which reads it back by name. */
        public Snapshot() {
            super(() -> INSTANCE);
        }
    }
}
