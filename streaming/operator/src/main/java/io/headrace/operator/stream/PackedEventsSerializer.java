package io.headrace.operator.stream;

import io.headrace.operator.plan.ColumnRef;
import io.headrace.operator.plan.ColumnType;
import io.headrace.operator.state.PackedEvents;
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
final class PackedEventsSerializer extends PackedSerializer<PackedEvents> {
    private final ArrayList<String> names = new ArrayList<>();
    private final ArrayList<ColumnType> types = new ArrayList<>();
    private transient List<ColumnRef> columns;

    PackedEventsSerializer(List<ColumnRef> columns) {
        for (ColumnRef column : columns) {
            names.add(column.name());
            types.add(column.type());
        }
        this.columns = columns();
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
        this.columns = columns();
    }

    @Override
    public PackedEvents createInstance() {
        return new PackedEvents(columns, new byte[0]);
    }

    @Override
    byte[] bytes(PackedEvents events) {
        return events.with(columns).bytes();
    }

    @Override
    PackedEvents of(byte[] bytes) {
        return new PackedEvents(columns, bytes);
    }

    @Override
    public boolean equals(Object other) {
        return other instanceof PackedEventsSerializer that
                && that.names.equals(names)
                && that.types.equals(types);
    }

    @Override
    public int hashCode() {
        return names.hashCode();
    }

    @Override
    public TypeSerializerSnapshot<PackedEvents> snapshotConfiguration() {
        return new Snapshot(this);
    }

    /** What the chunks of a savepoint have for columns. */
    public static final class Snapshot implements TypeSerializerSnapshot<PackedEvents> {
        private static final int VERSION = 2;

        private PackedEventsSerializer written;

        /** For Flink, which fills it from a savepoint. */
        public Snapshot() {}

        Snapshot(PackedEventsSerializer written) {
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
            WrittenVersion.require("events", version, VERSION);
            List<ColumnRef> columns = new ArrayList<>();
            for (int left = in.readInt(); left > 0; left--) {
                String name = Scalars.readText(in);
                columns.add(new ColumnRef(name, ColumnType.valueOf(Scalars.readText(in))));
            }
            written = new PackedEventsSerializer(columns);
        }

        @Override
        public TypeSerializer<PackedEvents> restoreSerializer() {
            return written;
        }

        @Override
        public TypeSerializerSchemaCompatibility<PackedEvents> resolveSchemaCompatibility(
                TypeSerializerSnapshot<PackedEvents> old) {
            // Whether a view may read other columns is judged by the snapshot of its stage.
            return old instanceof Snapshot before && before.written.equals(written)
                    ? TypeSerializerSchemaCompatibility.compatibleAsIs()
                    : TypeSerializerSchemaCompatibility.compatibleAfterMigration();
        }
    }
}
