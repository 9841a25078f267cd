package io.headrace.operator.decode;

import static org.junit.jupiter.api.Assertions.assertArrayEquals;
import static org.junit.jupiter.api.Assertions.assertEquals;
import static org.junit.jupiter.api.Assertions.assertThrows;

import io.headrace.operator.BadRecord;
import io.headrace.operator.plan.ColumnPlan;
import io.headrace.operator.plan.ColumnPlan.Role;
import io.headrace.operator.plan.ColumnType;
import io.headrace.operator.plan.SourcePlan;
import java.nio.charset.StandardCharsets;
import java.util.List;
import org.junit.jupiter.api.Test;

class EventDecoderTest {
    private static final long TIME = 1_600_000_000_000L;
    private static final List<ColumnPlan> COLUMNS =
            List.of(
                    column("id", ColumnType.STRING, false, null, Role.IDENTIFIER),
                    column("at", ColumnType.INT64, false, null, Role.TIME_MS),
                    column("size", ColumnType.FLOAT64, true, null, Role.VALUE),
                    column("share", ColumnType.FLOAT64, true, 1.0, Role.VALUE),
                    column("count", ColumnType.INT64, true, null, Role.VALUE),
                    column("flag", ColumnType.BOOL, true, null, Role.VALUE));
    private final EventDecoder decoder =
            new EventDecoder(
                    new SourcePlan(
                            "readings",
                            "readings",
                            "Reading",
                            "v1",
                            "at",
                            "id",
                            null,
                            0,
                            946_684_800_000L,
                            4_102_444_800_000L,
                            COLUMNS,
                            COLUMNS.stream().map(ColumnPlan::name).toList(),
                            List.of()));

    private static ColumnPlan column(
            String name, ColumnType type, boolean nullable, Number maximum, Role role) {
        return new ColumnPlan(name, type, nullable, null, maximum, null, null, null, role);
    }

    private Object[] decoded(String rest) throws BadRecord {
        String record = "{\"id\":\"a\",\"at\":" + TIME + rest + "}";
        return decoder.decode(record.getBytes(StandardCharsets.UTF_8));
    }

    private void assertRefused(String reason, String message, String rest) {
        BadRecord bad = assertThrows(BadRecord.class, () -> decoded(rest));
        assertEquals(reason, bad.reason());
        assertEquals(message, bad.getMessage());
    }

    @Test
    void whereARecordBreaksOffIsSaidInItsOwnLinesAndColumns() {
        BadRecord bad =
                assertThrows(
                        BadRecord.class,
                        () -> decoder.decode("{\"id\":\"a\"".getBytes(StandardCharsets.UTF_8)));
        assertEquals("undecodable", bad.reason());
        assertEquals(
                "Reading is not JSON: Unexpected end-of-input: expected close marker for Object"
                        + " (start marker at line 1, column 1)",
                bad.getMessage());
    }

    @Test
    void valuesComeInTheOrderOfColumns() throws BadRecord {
        assertArrayEquals(
                new Object[] {"a", TIME, 2.0, null, -7L, true},
                decoded(",\"flag\":true,\"count\":-7,\"other\":[1,{\"x\":2}],\"size\":2"));
    }

    @Test
    void aDoubleAfterAnIntegerOfMoreThan64BitsIsItself() throws BadRecord {
        assertArrayEquals(
                new Object[] {"a", TIME, 1e20, 0.25, null, null},
                decoded(",\"size\":100000000000000000000,\"share\":0.25"));
    }

    @Test
    void wholeNumbersReachTheEndsOfInt64AndNotFurther() throws BadRecord {
        assertEquals(Long.MIN_VALUE, decoded(",\"count\":-9223372036854775808")[4]);
        assertEquals(Long.MAX_VALUE, decoded(",\"count\":9223372036854775807")[4]);
        assertRefused(
                "integer_overflow",
                "Reading.count is 9223372036854775808, expected a 64-bit integer",
                ",\"count\":9223372036854775808");
    }

    @Test
    void aTimeOfAnotherTypeIsRefusedWithTheUnitThatIsExpected() {
        assertRefused(
                "wrong_type",
                "Reading.at is '2018-04-01', expected an integer, milliseconds since 1970-01-01"
                        + " UTC",
                ",\"at\":\"2018-04-01\"");
    }

    @Test
    void theLastValueOfAFieldCountsUnlessAnEarlierOneIsBad() throws BadRecord {
        assertEquals(2L, decoded(",\"count\":1,\"count\":2")[4]);
        assertRefused(
                "wrong_type",
                "Reading can't be read: a field is named again after a bad value",
                ",\"count\":\"x\",\"count\":2");
    }

    @Test
    void halfASurrogatePairIsNoTextNotEvenInAFieldThatNobodyReads() throws BadRecord {
        assertEquals("undecodable", reason(",\"other\":\"\\ud800\""));
        assertEquals("undecodable", reason(",\"\\udc00\":1"));
        assertEquals("wrong_type", reason(",\"other\":\"\\ud800\",\"count\":\"x\""));
        decoded(",\"other\":\"\\ud83d\\ude00\"");
        decoded(",\"other\":\"\\\\ud800\"");
    }

    private String reason(String rest) {
        return assertThrows(BadRecord.class, () -> decoded(rest)).reason();
    }

    @Test
    void aRefusalSaysWhatWasFoundAndExpected() {
        assertRefused(
                "wrong_type",
                "Reading.flag is 'yes\\n', expected true or false",
                ",\"flag\":\"yes\\n\"");
        assertRefused(
                "out_of_range", "Reading.share is 1e+16, expected at most 1.0", ",\"share\":1e16");
        assertRefused(
                "not_finite",
                "Reading.size is not finite, expected a finite number",
                ",\"size\":NaN");
    }

    @Test
    void namesMayBeLong() throws BadRecord {
        decoded(",\"" + "n".repeat(100_000) + "\":1");
    }
}
