package io.headrace.operator.stream;

import io.headrace.operator.plan.Plan;
import io.headrace.operator.plan.SourcePlan;
import io.headrace.operator.plan.StagePlan;
import io.headrace.operator.state.PackedState;
import io.headrace.operator.state.StageLayout;
import java.io.IOException;
import java.io.ObjectInputStream;
import org.apache.flink.api.common.typeutils.TypeSerializer;
import org.apache.flink.api.common.typeutils.TypeSerializerSchemaCompatibility;
import org.apache.flink.api.common.typeutils.TypeSerializerSnapshot;
import org.apache.flink.core.memory.DataInputView;
import org.apache.flink.core.memory.DataOutputView;
import org.apache.flink.runtime.execution.SuppressRestartsException;

/** Writes what a stage keeps for an entity, as the plan of the stage lays it out. */
public final class StageStateSerializer extends PackedSerializer<PackedState> {
    private final String plan;
    private final int decision;
    private final int stage;
    private transient StageLayout layout;

    /** The serializer of one stage of a decision in a plan. */
    public StageStateSerializer(String plan, int decision, int stage) {
        this.plan = plan;
        this.decision = decision;
        this.stage = stage;
        layout = layout();
    }

    private StageLayout layout() {
        Plan read = Plan.read(plan);
        StagePlan of = read.decisions().get(decision).stages().get(stage);
        return new StageLayout(
                of.views().stream().map(read::view).toList(),
                read.sources().stream().map(SourcePlan::name).toList());
    }

    private void readObject(ObjectInputStream in) throws IOException, ClassNotFoundException {
        in.defaultReadObject();
        layout = layout();
    }

    @Override
    public PackedState createInstance() {
        return layout.packed(layout.newState());
    }

    @Override
    byte[] bytes(PackedState state) {
        return layout.adopted(state).bytes();
    }

    @Override
    PackedState of(byte[] bytes) {
        return new PackedState(layout, bytes);
    }

    @Override
    public boolean equals(Object other) {
        return other instanceof StageStateSerializer that
                && that.plan.equals(plan)
                && that.decision == decision
                && that.stage == stage;
    }

    @Override
    public int hashCode() {
        return plan.hashCode();
    }

    @Override
    public TypeSerializerSnapshot<PackedState> snapshotConfiguration() {
        return new Snapshot(this);
    }

    /** The layout of the states in a savepoint: the plan they were written under. */
    public static final class Snapshot implements TypeSerializerSnapshot<PackedState> {
        private static final int VERSION = StageLayout.ENCODING;

        private StageStateSerializer written;

        /** For Flink, which fills it from a savepoint. */
        public Snapshot() {}

        Snapshot(StageStateSerializer written) {
            this.written = written;
        }

        @Override
        public int getCurrentVersion() {
            return VERSION;
        }

        @Override
        public void writeSnapshot(DataOutputView out) throws IOException {
            Scalars.writeText(out, written.plan);
            out.writeInt(written.decision);
            out.writeInt(written.stage);
        }

        @Override
        public void readSnapshot(int version, DataInputView in, ClassLoader loader)
                throws IOException {
            WrittenVersion.require("states", version, VERSION);
            written = new StageStateSerializer(Scalars.readText(in), in.readInt(), in.readInt());
        }

        @Override
        public TypeSerializer<PackedState> restoreSerializer() {
            return written;
        }

        @Override
        public TypeSerializerSchemaCompatibility<PackedState> resolveSchemaCompatibility(
                TypeSerializerSnapshot<PackedState> old) {
            if (!(old instanceof Snapshot before)) {
                return TypeSerializerSchemaCompatibility.incompatible();
            }
            try {
                return written.layout.sameAs(before.written.layout)
                        ? TypeSerializerSchemaCompatibility.compatibleAsIs()
                        : TypeSerializerSchemaCompatibility.compatibleAfterMigration();
            } catch (IllegalArgumentException unlike) {
                // Flink would try again for ever.
                throw new SuppressRestartsException(
                        new IllegalStateException(
                                "the savepoint is of other definitions: " + unlike.getMessage()));
            }
        }
    }
}
