package io.headrace.operator.stream;

import static org.junit.jupiter.api.Assertions.assertArrayEquals;
import static org.junit.jupiter.api.Assertions.assertEquals;
import static org.junit.jupiter.api.Assertions.assertThrows;
import static org.junit.jupiter.api.Assertions.assertTrue;

import io.headrace.operator.state.Bounds;
import java.nio.charset.StandardCharsets;
import java.util.ArrayList;
import java.util.HexFormat;
import java.util.List;
import java.util.Map;
import org.apache.flink.api.common.typeinfo.Types;
import org.apache.flink.core.memory.DataInputDeserializer;
import org.apache.flink.metrics.Counter;
import org.apache.flink.runtime.checkpoint.OperatorSubtaskState;
import org.apache.flink.runtime.execution.SuppressRestartsException;
import org.apache.flink.runtime.jobgraph.OperatorID;
import org.apache.flink.runtime.metrics.groups.InternalOperatorMetricGroup;
import org.apache.flink.runtime.metrics.groups.TaskMetricGroup;
import org.apache.flink.runtime.metrics.util.InterceptingOperatorMetricGroup;
import org.apache.flink.runtime.metrics.util.InterceptingTaskMetricGroup;
import org.apache.flink.runtime.operators.testutils.MockEnvironmentBuilder;
import org.apache.flink.runtime.state.StateBackend;
import org.apache.flink.runtime.state.hashmap.HashMapStateBackend;
import org.apache.flink.shaded.jackson2.com.fasterxml.jackson.databind.JsonNode;
import org.apache.flink.shaded.jackson2.com.fasterxml.jackson.databind.ObjectMapper;
import org.apache.flink.state.rocksdb.EmbeddedRocksDBStateBackend;
import org.apache.flink.streaming.runtime.streamrecord.StreamRecord;
import org.apache.flink.streaming.util.KeyedOneInputStreamOperatorTestHarness;
import org.junit.jupiter.api.Test;
import org.junit.jupiter.params.ParameterizedTest;
import org.junit.jupiter.params.provider.EnumSource;

/** A stage in Flink's own operator: what waits, expires, is refused or fails, and what is kept. */
class FeatureFunctionTest {
    private static final long HOUR_MS = 3_600_000;
    private static final long LATENESS_MS = 60_000;
    private static final int ROOM = 5;

    // The views of a buyer, then those of a shop, whose column can overflow.
    private static final String PLAN =
            """
            {"version": 1, "project": "shop", "sources": [
              {"name": "orders", "topic": "orders", "schema": "Order", "schema_version": "v1", "event_time": "at",
               "dedup_key": "id", "available_at": null, "rank": 1,
               "plausible": {"earliest_ms": 0, "latest_ms": 4102444800000},
               "columns": [
                 {"name": "id", "type": "string", "nullable": false, "role": "identifier"},
                 {"name": "buyer", "type": "string", "nullable": false, "role": "identifier"},
                 {"name": "shop", "type": "string", "nullable": false, "role": "identifier"},
                 {"name": "at", "type": "int64", "nullable": false, "role": "time_ms"},
                 {"name": "amount", "type": "int64", "nullable": true, "role": "value"}]}],
             "views": [
              {"name": "of_buyer", "version": 1, "fingerprint": "f", "source": "orders",
               "join_key": "buyer", "filter": null, "derived": [],
               "columns": [{"name": "amount", "type": "int64"}],
               "partials": [{"kind": "count"}],
               "features": [
                 {"name": "count_1h", "kind": "count", "partial": 0, "type": "int64",
                  "window": {"kind": "sliding", "size_ms": 3600000, "hop_ms": 1, "delay_ms": 0},
                  "exclude_current": false, "default": 0}]},
              {"name": "of_shop", "version": 1, "fingerprint": "f", "source": "orders",
               "join_key": "shop", "filter": null, "derived": [
                 {"name": "double", "type": "int64", "expression": {"node": "arithmetic", "op": "*",
                  "floating": false, "left": {"node": "column", "name": "amount"},
                  "right": {"node": "literal", "type": "int64", "value": 2}}}],
               "columns": [{"name": "double", "type": "int64"}],
               "partials": [{"kind": "moments", "column": 0, "floating": false,
                  "with_squares": false}],
               "features": [
                 {"name": "sum_1h", "kind": "sum", "partial": 0, "type": "int64",
                  "window": {"kind": "sliding", "size_ms": 3600000, "hop_ms": 1, "delay_ms": 0},
                  "exclude_current": false, "default": 0}]}],
             "decisions": [
              {"name": "accept", "source": "orders",
               "stages": [{"join_key": "buyer", "views": ["of_buyer"]},
                          {"join_key": "shop", "views": ["of_shop"]}],
               "rules": []}]}
            """;

    /** Where states are kept. */
    enum Backend {
        HEAP {
            @Override
            StateBackend made() {
                return new HashMapStateBackend();
            }
        },
        ROCKSDB {
            @Override
            StateBackend made() {
                return new EmbeddedRocksDBStateBackend();
            }
        };

        abstract StateBackend made();
    }

    /** A stage that runs in a harness of Flink's. */
    private static final class Running implements AutoCloseable {
        private final InterceptingOperatorMetricGroup metrics =
                new InterceptingOperatorMetricGroup();
        private final KeyedOneInputStreamOperatorTestHarness<String, Envelope, Envelope> harness;

        Running(Backend backend, boolean ordered, OperatorSubtaskState state) throws Exception {
            this(PLAN, backend, ordered, ROOM, state);
        }

        Running(
                String plan, Backend backend, boolean ordered, int room, OperatorSubtaskState state)
                throws Exception {
            Bounds bounds = new Bounds(LATENESS_MS, HOUR_MS, room);
            harness =
                    new KeyedOneInputStreamOperatorTestHarness<>(
                            new StageOperator(
                                    new FeatureFunction(
                                            plan, 0, 0, ordered, state != null, bounds, 1)),
                            new EntityKey(plan, "buyer"),
                            Types.STRING,
                            new MockEnvironmentBuilder().setMetricGroup(metrics()).build());
            harness.setStateBackend(backend.made());
            harness.setup(io.headrace.operator.stream.Types.ENVELOPE.createSerializer(null));
            if (state != null) {
                harness.initializeState(state);
            }
            harness.open();
        }

        private TaskMetricGroup metrics() {
            return new InterceptingTaskMetricGroup() {
                @Override
                public InternalOperatorMetricGroup getOrAddOperator(
                        OperatorID id, String name, Map<String, String> variables) {
                    return metrics;
                }
            };
        }

        long expired() {
            return ((Counter) metrics.get("headrace_states_expired_total")).getCount();
        }

        void send(Envelope event) throws Exception {
            harness.processElement(event, event.time);
        }

        void watermark(long time) throws Exception {
            harness.processWatermark(time);
        }

        OperatorSubtaskState stopped() throws Exception {
            OperatorSubtaskState state = harness.snapshot(1, 1);
            close();
            return state;
        }

        /** Each answer so far: id, what the first view says, and whether that is right. */
        List<String> answers() {
            List<String> answers = new ArrayList<>();
            for (Envelope event : harness.extractOutputValues()) {
                answers.add(event.row[0] + " " + event.values[0] + " " + event.statuses[0]);
            }
            return answers;
        }

        /** What has gone to a topic beside the answers. */
        List<OutRecord> aside(String topic) {
            return harness.getSideOutput(Outputs.ASIDE).stream()
                    .map(StreamRecord::getValue)
                    .filter(record -> record.topic.equals(topic))
                    .toList();
        }

        /** The id and the reason of each entry of the ledger. */
        List<String> ledgered() throws Exception {
            List<String> told = new ArrayList<>();
            for (OutRecord record : aside(Outputs.LATE_EVENTS)) {
                JsonNode entry = new ObjectMapper().readTree(record.value);
                told.add(entry.get("id").asText() + " " + entry.get("reason").asText());
            }
            return told;
        }

        @Override
        public void close() {
            try {
                harness.close();
            } catch (Exception error) {
                throw new IllegalStateException("the stage can't be closed", error);
            }
        }
    }

    private static Envelope order(String id, long at, Long amount) {
        Envelope event = new Envelope();
        event.row = new Object[] {id, "b", "s", at, amount};
        event.time = at;
        event.available = at;
        event.sentAt = at;
        event.raw = id.getBytes(StandardCharsets.UTF_8);
        return event;
    }

    private static Envelope order(String id, long at) {
        return order(id, at, 1L);
    }

    @ParameterizedTest
    @EnumSource
    void whatWaitsInOrderedModeIsAnsweredAfterAChangeToImmediateMode(Backend backend)
            throws Exception {
        OperatorSubtaskState state;
        try (Running before = new Running(backend, true, null)) {
            before.send(order("a", 1_000));
            before.send(order("b", 2_000));
            before.watermark(1_500);
            before.send(order("c", 3_000));
            assertEquals(List.of("a 1 0"), before.answers());
            state = before.stopped();
        }
        try (Running after = new Running(backend, false, state)) {
            after.harness.setProcessingTime(1);
            assertEquals(List.of("b 2 0", "c 3 0"), after.answers());
            after.watermark(3_000);
            after.send(order("d", 3_001));
            assertEquals(List.of("b 2 0", "c 3 0", "d 4 0"), after.answers());
        }
    }

    @ParameterizedTest
    @EnumSource
    void whatIsLateInOrderedModeWaitsForNothing(Backend backend) throws Exception {
        try (Running stage = new Running(backend, true, null)) {
            stage.send(order("a", 2_000));
            stage.watermark(2_500);
            stage.send(order("b", 1_000));
            stage.send(order("c", 2_501));
            assertEquals(List.of("a 1 0", "b 1 0"), stage.answers());
            stage.watermark(2_501);
            assertEquals(List.of("a 1 0", "b 1 0", "c 3 0"), stage.answers());
        }
    }

    @ParameterizedTest
    @EnumSource
    void aStateExpiresOnceItsPartitionsHavePassed(Backend backend) throws Exception {
        try (Running stage = new Running(backend, false, null)) {
            stage.send(order("a", 1_000));
            assertEquals(1, stage.harness.numEventTimeTimers());
            // Nothing has come from its partition since: it may only be silent.
            stage.watermark(4 * HOUR_MS);
            stage.send(order("b", 2_000));
            assertEquals(List.of("a 1 0", "b 2 0"), stage.answers());
            Envelope other = order("c", 30 * HOUR_MS);
            other.row[1] = "another";
            stage.send(other);
            stage.watermark(30 * HOUR_MS);
            assertEquals(1, stage.expired());
            stage.send(order("d", 3_000));
            assertEquals("d null " + Envelope.LATE, stage.answers().get(3));
            stage.send(order("e", 1_500));
            assertEquals(List.of("d late", "e too_old"), stage.ledgered());
            // Its fields online are known to lack it.
            List<String> updates = keys(stage.aside(Outputs.FEATURE_UPDATES));
            assertEquals("of_buyer:1:b:m", updates.get(updates.size() - 1));
        }
    }

    @ParameterizedTest
    @EnumSource
    void whatThereIsNoRoomForIsToldUntilThereIsRoomAgain(Backend backend) throws Exception {
        try (Running stage = new Running(backend, false, null)) {
            for (int i = 0; i < ROOM; i++) {
                stage.send(order("fits-" + i, i));
            }
            stage.send(order("does-not", 1_000));
            assertEquals(
                    List.of("does-not state_full", "does-not keys_full"), sorted(stage, "keys_full"));
            assertEquals("does-not " + ROOM + " " + Envelope.FULL, stage.answers().get(ROOM));
            List<String> updates = keys(stage.aside(Outputs.FEATURE_UPDATES));
            assertEquals("of_buyer:1:b:m", updates.get(updates.size() - 1));
            // Those that took the room are out of every window that can be asked for.
            long later = HOUR_MS + LATENESS_MS + 100;
            stage.send(order("has-room", later));
            assertEquals("has-room 1 0", stage.answers().get(ROOM + 1));
            assertTrue(stage.ledgered().stream().noneMatch(t -> t.startsWith("has-room")));
        }
    }

    @ParameterizedTest
    @EnumSource
    void ofAFieldThatIsTooLargeItIsToldThatEventsAreMissing(Backend backend) throws Exception {
        try (Running stage = new Running(backend, false, null)) {
            stage.send(order("fits", 1_000));
            String large = "x".repeat(Outputs.MOST_BYTES);
            stage.send(order(large, 2_000));
            assertEquals(List.of(large + " update_too_large"), stage.ledgered());
            assertEquals(List.of("fits 1 0", large + " 2 0"), stage.answers());
            List<OutRecord> updates = stage.aside(Outputs.FEATURE_UPDATES);
            assertEquals(List.of("of_buyer:1:b:x0", "of_buyer:1:b:m"), keys(updates));
            byte[] told = updates.get(1).value;
            // The newest event that may be missing, and when it was known.
            assertEquals("920392cd07d0cd07d0", HexFormat.of().formatHex(told, told.length - 9, told.length));
        }
    }

    private static List<String> keys(List<OutRecord> records) {
        return records.stream()
                .map(record -> new String(record.key, StandardCharsets.UTF_8))
                .toList();
    }

    private static List<String> sorted(Running stage, String last) throws Exception {
        List<String> told = new ArrayList<>(stage.ledgered());
        told.sort((left, right) -> Boolean.compare(left.endsWith(last), right.endsWith(last)));
        return told;
    }

    @ParameterizedTest
    @EnumSource
    void whatALaterStageFailsOnIsSetAsideBeforeAnyTakesItIn(Backend backend) throws Exception {
        try (Running stage = new Running(backend, false, null)) {
            stage.send(order("a", 1_000, Long.MAX_VALUE));
            OutRecord dead = stage.aside(Outputs.DEAD_LETTERS).get(0);
            assertArrayEquals("a".getBytes(StandardCharsets.UTF_8), dead.value);
            assertTrue(List.of(dead.headers).contains("integer_overflow"));
            // Mended and sent again, it is no duplicate.
            stage.send(order("a", 1_000, 7L));
            assertEquals(List.of("a 1 0"), stage.answers());
        }
    }

    @ParameterizedTest
    @EnumSource
    void eachCheckpointHasWhatCameSinceTheOneBefore(Backend backend) throws Exception {
        OperatorSubtaskState state;
        try (Running before = new Running(backend, false, null)) {
            before.send(order("a", 1_000));
            before.harness.snapshot(1, 1);
            before.harness.snapshot(2, 2);
            before.send(order("b", 2_000));
            before.harness.snapshot(3, 3);
            before.harness.notifyOfCompletedCheckpoint(3);
            before.send(order("c", 3_000));
            state = before.harness.snapshot(4, 4);
        }
        try (Running after = new Running(backend, false, state)) {
            after.send(order("d", 4_000));
            assertEquals(List.of("d 4 0"), after.answers());
        }
    }

    @ParameterizedTest
    @EnumSource
    void anEventThatComesTwiceIsTakenOnce(Backend backend) throws Exception {
        OperatorSubtaskState state;
        try (Running before = new Running(backend, false, null)) {
            before.send(order("a", 1_000));
            state = before.stopped();
        }
        try (Running after = new Running(backend, false, state)) {
            after.send(order("a", 1_000));
            after.send(order("b", 1_001));
            assertEquals(List.of("b 2 0"), after.answers());
            assertEquals(List.of("a duplicate"), after.ledgered());
        }
    }

    // A minute, a second and a half: those of a busy hour.
    private static final int MANY = 2_000;
    private static final long STEP_MS = 1_500;

    /** Orders of one buyer, every third of them late, and some of them twice. */
    private static List<Envelope> busy(int from, int to) {
        List<Envelope> orders = new ArrayList<>();
        for (int number = from; number < to; number++) {
            long late = number % 3 == 2 ? 20 * STEP_MS : 0;
            orders.add(order("order-" + number, 100_000 + number * STEP_MS - late));
            if (number % 100 == 50) {
                orders.add(order("order-" + (number - 40), 100_000 + (number - 40) * STEP_MS));
            }
        }
        return orders;
    }

    /** The answers to orders, by counting. */
    private static List<String> counted(List<Envelope> orders) {
        List<String> answers = new ArrayList<>();
        List<String> ids = new ArrayList<>();
        List<Long> times = new ArrayList<>();
        for (Envelope event : orders) {
            if (ids.contains((String) event.row[0])) {
                continue;
            }
            ids.add((String) event.row[0]);
            times.add(event.time);
            long within =
                    times.stream()
                            .filter(t -> t <= event.time && t > event.time - HOUR_MS)
                            .count();
            answers.add(event.row[0] + " " + within + " 0");
        }
        return answers;
    }

    @ParameterizedTest
    @EnumSource
    void aBusyBuyersStateGoesOnFromItsParts(Backend backend) throws Exception {
        List<Envelope> orders = busy(0, MANY);
        List<String> expected = counted(orders);
        int half = orders.size() / 2;
        OperatorSubtaskState state;
        List<String> answers;
        try (Running before = new Running(PLAN, backend, false, 100_000, null)) {
            for (Envelope event : orders.subList(0, half)) {
                before.send(event);
            }
            before.harness.snapshot(1, 1);
            answers = before.answers();
            state = before.stopped();
        }
        try (Running after = new Running(PLAN, backend, false, 100_000, state)) {
            for (Envelope event : orders.subList(half, orders.size())) {
                after.send(event);
            }
            answers.addAll(after.answers());
            assertEquals(expected, answers);
            // All of it, and the parts in states of their own, goes when its time is over.
            Envelope other = order("other", 30 * HOUR_MS);
            other.row[1] = "another";
            after.send(other);
            after.watermark(30 * HOUR_MS);
            assertEquals(1, after.expired());
            after.send(order("again", 40 * HOUR_MS));
            assertEquals("again 1 0", after.answers().get(after.answers().size() - 1));
        }
    }

    @ParameterizedTest
    @EnumSource
    void aBusyBuyersStateGoesOnUnderAPlanThatReadsMore(Backend backend) throws Exception {
        String more =
                PLAN.replace(
                                "\"columns\": [{\"name\": \"amount\", \"type\": \"int64\"}],",
                                "\"columns\": [{\"name\": \"shop\", \"type\": \"string\"},"
                                        + " {\"name\": \"amount\", \"type\": \"int64\"}],")
                        .replace(
                                "[{\"kind\": \"count\"}]",
                                "[{\"kind\": \"count\"}, {\"kind\": \"distinct\", \"column\": 0}]");
        List<Envelope> orders = busy(0, MANY / 2);
        OperatorSubtaskState state;
        try (Running before = new Running(PLAN, backend, false, 100_000, null)) {
            for (Envelope event : orders) {
                before.send(event);
            }
            state = before.stopped();
        }
        try (Running after = new Running(more, backend, false, 100_000, state)) {
            List<Envelope> next = busy(MANY / 2, MANY);
            for (Envelope event : next) {
                after.send(event);
            }
            List<Envelope> all = new ArrayList<>(orders);
            all.addAll(next);
            List<String> expected = counted(all);
            assertEquals(
                    expected.subList(expected.size() - after.answers().size(), expected.size()),
                    after.answers());
            assertEquals(MANY / 2, after.answers().size());
        }
    }

    @ParameterizedTest
    @EnumSource
    void aStageThatTheJobDidNotHaveIsRefusedAsItWouldLackWhatCameBefore(Backend backend) {
        OperatorSubtaskState ofOthers = OperatorSubtaskState.builder().build();
        SuppressRestartsException refused =
                assertThrows(
                        SuppressRestartsException.class,
                        () -> new Running(backend, false, ofOthers));
        assertEquals(
                "the state has no view of_buyer: it would begin without its history (--from"
                        + " lake makes it, --fresh does without)",
                refused.getCause().getMessage());
    }

    @ParameterizedTest
    @EnumSource
    void anEventThatMakesTheStageFailIsSetAsideAndChangesNothing(Backend backend) throws Exception {
        try (Running stage = new Running(backend, false, null)) {
            stage.send(order("a", 1_000));
            Envelope failing = order("b", 2_000);
            failing.row[0] = null;
            stage.send(failing);
            stage.send(order("c", 3_000));
            assertEquals(List.of("a 1 0", "c 2 0"), stage.answers());
            OutRecord dead = stage.aside(Outputs.DEAD_LETTERS).get(0);
            assertArrayEquals("b".getBytes(StandardCharsets.UTF_8), dead.value);
            assertTrue(List.of(dead.headers).contains("operator_failed"));
        }
    }

    @Test
    void aSavepointOfAnotherReleaseIsRefusedForGood() {
        StageStateSerializer.Snapshot snapshot = new StageStateSerializer.Snapshot();
        int version = snapshot.getCurrentVersion();
        SuppressRestartsException refused =
                assertThrows(
                        SuppressRestartsException.class,
                        () ->
                                snapshot.readSnapshot(
                                        version + 1,
                                        new DataInputDeserializer(new byte[0]),
                                        getClass().getClassLoader()));
        assertEquals(
                "the savepoint has states in version "
                        + (version + 1)
                        + ", this release reads "
                        + version
                        + ": begin with the lake or without a state",
                refused.getCause().getMessage());
    }
}
