package io.headrace.operator.stream;

import io.headrace.operator.aggregate.Scalars;
import io.headrace.operator.plan.ColumnRef;
import io.headrace.operator.plan.ColumnType;
import io.headrace.operator.state.EventColumns;
import io.headrace.operator.state.EventColumnsCodec;
import java.io.IOException;
import java.io.ObjectInputStream;
import java.util.ArrayList;
import java.util.List;
import org.apache.flink.api.common.typeutils.TypeSerializer;
import org.apache.flink.api.common.typeutils.TypeSerializerSchemaCompatibility;
import org.apache.flink.api.common.typeutils.TypeSerializerSnapshot;
import org.apache.flink.core.memory.DataInputView;
import org.apache.flink.core.memory.DataOutputView;

/** Writes chunks of events with the columns that a view reads. */
final class EventColumnsSerializer extends TypeSerializer<EventColumns> {
    private final ArrayList<String> names = new ArrayList<>();
    private final ArrayList<ColumnType> types = new ArrayList<>();
    private transient EventColumnsCodec codec;

    EventColumnsSerializer(List<ColumnRef> columns) {
        for (ColumnRef column : columns) {
            names.add(column.name());
            types.add(column.type());
        }
        codec = new EventColumnsCodec(columns());
    }

    private List<ColumnRef> columns() {
        List<ColumnRef> columns = new ArrayList<>();
        for (int i = 0; i < names.size(); i++) {
            columns.add(new ColumnRef(names.get(i), types.get(i)));
        }
        return columns;
    }

    private void readObject(ObjectInputStream in) throws IOException, ClassNotFoundException {
        in.defaultReadObject();
        codec = new EventColumnsCodec(columns());
    }

    @Override
    public boolean isImmutableType() {
        return false;
    }

    @Override
    public TypeSerializer<EventColumns> duplicate() {
        // It keeps nothing from one chunk to the next.
        return this;
    }

    @Override
    public EventColumns createInstance() {
        return new EventColumns(columns());
    }

    @Override
    public EventColumns copy(EventColumns from) {
        return from.copy();
    }

    @Override
    public EventColumns copy(EventColumns from, EventColumns reuse) {
        return copy(from);
    }

    @Override
    public int getLength() {
        return -1;
    }

    @Override
    public void serialize(EventColumns events, DataOutputView out) throws IOException {
        codec.write(out, events);
    }

    @Override
    public EventColumns deserialize(DataInputView in) throws IOException {
        return codec.read(in);
    }

    @Override
    public EventColumns deserialize(EventColumns reuse, DataInputView in) throws IOException {
        return codec.read(in);
    }

    @Override
    public void copy(DataInputView in, DataOutputView out) throws IOException {
        codec.write(out, codec.read(in));
    }

    @Override
    public boolean equals(Object other) {
        return other instanceof EventColumnsSerializer that
                && that.names.equals(names)
                && that.types.equals(types);
    }

    @Override
    public int hashCode() {
        return names.hashCode();
    }

    @Override
    public TypeSerializerSnapshot<EventColumns> snapshotConfiguration() {
        return new Snapshot(this);
    }

    /** What the chunks of a savepoint have for columns. */
    public static final class Snapshot implements TypeSerializerSnapshot<EventColumns> {
        private static final int VERSION = 1;

        private EventColumnsSerializer written;

        /** For Flink, which fills it from a savepoint. */
        public Snapshot() {}

        Snapshot(EventColumnsSerializer written) {
            this.written = written;
        }

        @Override
        public int getCurrentVersion() {
            return VERSION;
        }

        @Override
        public void writeSnapshot(DataOutputView out) throws IOException {
            out.writeInt(written.names.size());
            for (int i = 0; i < written.names.size(); i++) {
                Scalars.writeText(out, written.names.get(i));
                Scalars.writeText(out, written.types.get(i).name());
            }
        }

        @Override
        public void readSnapshot(int version, DataInputView in, ClassLoader loader)
                throws IOException {
            if (version != VERSION) {
                throw new IOException(
                        "a savepoint of layout " + version + ", this release reads " + VERSION);
            }
            List<ColumnRef> columns = new ArrayList<>();
            for (int left = in.readInt(); left > 0; left--) {
                String name = Scalars.readText(in);
                columns.add(new ColumnRef(name, ColumnType.valueOf(Scalars.readText(in))));
            }
            written = new EventColumnsSerializer(columns);
        }

        @Override
        public TypeSerializer<EventColumns> restoreSerializer() {
            return written;
        }

        @Override
        public TypeSerializerSchemaCompatibility<EventColumns> resolveSchemaCompatibility(
                TypeSerializerSnapshot<EventColumns> old) {
            // Whether a view may read other columns is judged by the snapshot of its stage.
            return old instanceof Snapshot before && before.written.equals(written)
                    ? TypeSerializerSchemaCompatibility.compatibleAsIs()
                    : TypeSerializerSchemaCompatibility.compatibleAfterMigration();
        }
    }
}
