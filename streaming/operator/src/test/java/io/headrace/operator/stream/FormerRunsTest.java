package io.headrace.operator.stream;

import static org.junit.jupiter.api.Assertions.assertEquals;
import static org.junit.jupiter.api.Assertions.assertFalse;
import static org.junit.jupiter.api.Assertions.assertNull;
import static org.junit.jupiter.api.Assertions.assertTrue;

import io.headrace.operator.stream.ToldAlerts.Todo;
import java.nio.charset.StandardCharsets;
import java.util.List;
import java.util.Map;
import org.apache.flink.kafka.shaded.org.apache.kafka.common.TopicPartition;
import org.junit.jupiter.api.Test;

/** What is known of former runs: decisions, alerts, and how far back it has to be read. */
class FormerRunsTest {
    private static final TopicPartition FIRST = new TopicPartition("decisions", 0);
    private static final TopicPartition SECOND = new TopicPartition("decisions", 1);

    private static byte[] bytes(String text) {
        return text.getBytes(StandardCharsets.UTF_8);
    }

    @Test
    void aDecisionIsKnownByItsPlaceAndItsId() {
        MadeDecisions made = new MadeDecisions();
        assertFalse(made.contains(new Place(0, 0), "a"));
        made.add(new Place(0, 5_000_000_000L), "a");
        made.add(new Place(0, 7), "b");
        assertTrue(made.contains(new Place(0, 5_000_000_000L), "a"));
        assertTrue(made.contains(new Place(0, 7), "b"));
        assertFalse(made.contains(new Place(0, 7), "a"));
        assertFalse(made.contains(new Place(1, 7), "b"));
        assertFalse(made.contains(new Place(0, 8), "b"));
        made.clear();
        assertFalse(made.contains(new Place(0, 7), "b"));
    }

    @Test
    void anIdWhoseHashIsNoughtIsKnownToo() {
        MadeDecisions made = new MadeDecisions();
        made.add(new Place(0, 0), "");
        assertTrue(made.contains(new Place(0, 0), ""));
        assertFalse(made.contains(new Place(0, 1), ""));
    }

    @Test
    void whatWasToldIsToldAgainOnlyWhereItDiffers() {
        Place place = new Place(2, 9);
        ToldAlerts told = new ToldAlerts();
        assertEquals(Todo.NOTHING, told.todo(place, "a", null));
        assertEquals(Todo.ALERT, told.todo(place, "a", bytes("x")));
        told.add(place, "a", bytes("x"), false);
        assertEquals(Todo.NOTHING, told.todo(place, "a", bytes("x")));
        told.add(place, "a", bytes("x"), false);
        assertEquals(Todo.ALERT, told.todo(place, "a", bytes("y")));
        told.add(place, "a", bytes("x"), false);
        assertEquals(Todo.RETRACTION, told.todo(place, "a", null));
    }

    @Test
    void whatWasToldAboutAnotherEventAtThatPlaceIsNothing() {
        Place place = new Place(2, 9);
        ToldAlerts told = new ToldAlerts();
        told.add(place, "of a topic that was made anew since", bytes("x"), false);
        assertEquals(Todo.NOTHING, told.todo(place, "a", null));
        told.add(place, "of a topic that was made anew since", bytes("x"), false);
        assertEquals(Todo.ALERT, told.todo(place, "a", bytes("x")));
    }

    @Test
    void theLastThatWasToldCounts() {
        Place place = new Place(2, 9);
        ToldAlerts told = new ToldAlerts();
        told.add(place, "a", bytes("x"), false);
        told.add(place, "a", bytes("taken back"), true);
        assertEquals(Todo.NOTHING, told.todo(place, "a", null));
        told.add(place, "a", bytes("x"), false);
        told.add(place, "a", bytes("taken back"), true);
        assertEquals(Todo.ALERT, told.todo(place, "a", bytes("x")));
        told.add(place, "a", bytes("taken back"), true);
        told.add(place, "a", bytes("x"), false);
        assertEquals(Todo.RETRACTION, told.todo(place, "a", null));
    }

    @Test
    void allIsBehindOnceEachPartitionHasGoneOn() {
        Horizon horizon = new Horizon(false);
        assertTrue(horizon.passed(Long.MIN_VALUE));
        horizon.add(new Place(0, 3), 100);
        horizon.add(new Place(0, 1), 200);
        horizon.add(new Place(1, 8), 50);
        horizon.see(0, 3);
        horizon.see(1, 9);
        assertFalse(horizon.passed(1_000));
        horizon.see(2, 99);
        assertFalse(horizon.passed(1_000));
        horizon.see(0, 4);
        assertTrue(horizon.passed(Long.MIN_VALUE));
    }

    @Test
    void inOrderedModeEventsMayWaitForTheWatermark() {
        Horizon horizon = new Horizon(true);
        horizon.add(new Place(0, 3), 100);
        horizon.see(0, 4);
        assertFalse(horizon.passed(99));
        assertTrue(horizon.passed(100));
    }

    @Test
    void ofAllSubtasksBookmarksTheEarliestHolds() throws Exception {
        Bookmark one = new Bookmark(3, false, Map.of(FIRST, 5L, SECOND, 7L), Map.of(FIRST, 50L));
        Bookmark two = new Bookmark(3, false, Map.of(FIRST, 6L, SECOND, 4L), Map.of(FIRST, 49L));
        Bookmark both = Bookmark.of(List.of(one.bytes(), two.bytes()));
        assertEquals(3, both.epoch());
        assertEquals(Map.of(FIRST, 5L, SECOND, 4L), both.start());
    }

    @Test
    void oneSubtaskThatHasAllBehindItIsEnough() throws Exception {
        Bookmark one = new Bookmark(3, false, Map.of(FIRST, 5L), Map.of(FIRST, 48L));
        Bookmark two = new Bookmark(3, true, Map.of(FIRST, 50L), Map.of(FIRST, 50L));
        assertEquals(Map.of(FIRST, 48L), Bookmark.of(List.of(one.bytes(), two.bytes())).start());
    }

    @Test
    void withoutBookmarksAllIsReadFromTheBeginning() throws Exception {
        Bookmark none = Bookmark.of(List.of());
        assertEquals(0, none.epoch());
        assertEquals(Map.of(), none.start());
    }

    @Test
    void aPartitionThatOneSubtaskDoesNotKnowIsReadFromItsBeginning() throws Exception {
        Bookmark one = new Bookmark(3, false, Map.of(FIRST, 5L), Map.of());
        Bookmark two = new Bookmark(3, false, Map.of(FIRST, 6L, SECOND, 4L), Map.of());
        assertEquals(Map.of(FIRST, 5L), Bookmark.of(List.of(one.bytes(), two.bytes())).start());
    }

    @Test
    void aRecordTellsWhichEventItIsAbout() {
        String json =
                "{\"id\":\"t\",\"project\":\"p\",\"decision\":\"d\",\"rules\":[\"offset\"],"
                        + "\"event\":{\"offset\":9,\"reported\":77,\"partition\":null},"
                        + "\"features\":{\"id\":1},\"partition\":3,\"offset\":12,\"retracted\":true}";
        assertEquals(
                new PastDecision("p", "d", "t", new Place(3, 12), 77, true),
                PastDecision.read(bytes(json), "reported"));
    }

    @Test
    void whatIsNoRecordOfAJobIsPassedOver() {
        assertNull(PastDecision.read(null, "x"));
        assertNull(PastDecision.read(bytes(""), "x"));
        assertNull(PastDecision.read(bytes("[]"), "x"));
        assertNull(PastDecision.read(bytes("{\"id\":\"t\"}"), "x"));
        assertNull(PastDecision.read(bytes("{\"id\":\"t\",\"partition\":\"many\"}"), "x"));
    }

    @Test
    void theIdOfATransactionNamesItsDeployment() {
        assertEquals(12, OpenTransactions.epoch("headrace-p-d", "headrace-p-d-12-0-345"));
        assertEquals(0, OpenTransactions.epoch("headrace-p-d", "headrace-p-d-e-12-0-345"));
        assertEquals(0, OpenTransactions.epoch("headrace-p-d", "headrace-p-d-0-345"));
        assertEquals(0, OpenTransactions.epoch("headrace-p-d", "headrace-p-other-12-0-345"));
        assertEquals(0, OpenTransactions.epoch("headrace-p-d", "headrace-p-d-x-0-345"));
    }

    @Test
    void anAnnouncementTellsWhoStarts() {
        byte[] told = Started.write(7, 3);
        assertEquals("{\"started\":7,\"goes_on_from\":3}", new String(told, StandardCharsets.UTF_8));
        assertEquals(7, Started.read(told));
        assertEquals(0, Started.read(bytes("{\"project\": \"fraud\"}")));
        assertEquals(0, Started.read(bytes("nonsense")));
        assertEquals(0, Started.read(null));
    }
}
