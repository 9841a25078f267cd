package io.headrace.operator.state;

import io.headrace.operator.aggregate.Accumulator;
import io.headrace.operator.aggregate.Accumulators;
import io.headrace.operator.plan.ColumnRef;
import io.headrace.operator.plan.DerivedColumn;
import io.headrace.operator.plan.FeaturePlan;
import io.headrace.operator.plan.PartialPlan;
import io.headrace.operator.plan.ViewPlan;
import java.util.List;
import java.util.Objects;
import java.util.function.Function;

/**
 * Brings the states of one plan over to another that declares more, or less.
 *
 * <p>A feature that is new is unknown as long as its window reaches events that the state has no
 * longer, or has without a column that the feature reads.
 */
final class Adoption {
    private final StageLayout from;
    private final StageLayout to;
    private final int[] viewPlaces;
    private final int[] sourcePlaces;
    private final boolean changesNothing;

    /**
     * From one layout to another.
     *
     * @throws IllegalArgumentException what a view keeps of the same name means something else
     */
    Adoption(StageLayout from, StageLayout to) {
        this.from = from;
        this.to = to;
        viewPlaces = to.views.stream().mapToInt(view -> place(from.views, view)).toArray();
        sourcePlaces = to.sources.stream().mapToInt(from.sources::indexOf).toArray();
        changesNothing = sameLayouts();
    }

    private static int place(List<ViewPlan> views, ViewPlan wanted) {
        for (int place = 0; place < views.size(); place++) {
            if (views.get(place).name().equals(wanted.name())) {
                requireSameMeaning(views.get(place), wanted);
                return place;
            }
        }
        throw new IllegalArgumentException(
                "the state has no view " + wanted.name() + ": it would begin without its history");
    }

    private static void requireSameMeaning(ViewPlan before, ViewPlan after) {
        boolean same =
                before.source().equals(after.source())
                        && before.joinKey().equals(after.joinKey())
                        && Objects.equals(before.filter(), after.filter())
                        && agree(before.derived(), after.derived(), DerivedColumn::name)
                        && agree(before.columns(), after.columns(), ColumnRef::name);
        if (!same) {
            throw new IllegalArgumentException(
                    "the state of view " + after.name() + " is of other events or columns");
        }
    }

    /** Whether what is of the same name in both is the same. */
    private static <T> boolean agree(List<T> before, List<T> after, Function<T, String> name) {
        return after.stream()
                .allMatch(
                        one ->
                                before.contains(one)
                                        || before.stream().map(name).noneMatch(name.apply(one)::equals));
    }

    /** Whether states are the same in both layouts. */
    boolean changesNothing() {
        return changesNothing;
    }

    private boolean sameLayouts() {
        if (from.views.size() != to.views.size() || !from.sources.equals(to.sources)) {
            return false;
        }
        for (int place = 0; place < viewPlaces.length; place++) {
            if (viewPlaces[place] != place
                    || !sameLayout(from.views.get(place), to.views.get(place))) {
                return false;
            }
        }
        return true;
    }

    /** Whether states of one view are states of the other as they are. */
    private static boolean sameLayout(ViewPlan before, ViewPlan after) {
        return before.columns().equals(after.columns())
                && before.partials().equals(after.partials())
                && before.features().equals(after.features());
    }

    /** The state that takes over what one in the layout before holds. */
    StageState adopted(StageState state) {
        StageState adopted = to.newState();
        adopted.timer = state.timer;
        for (int place = 0; place < viewPlaces.length; place++) {
            ViewPlan before = from.views.get(viewPlaces[place]);
            ViewPlan after = to.views.get(place);
            ViewState held = state.views[viewPlaces[place]];
            adopted.views[place] =
                    sameLayout(before, after)
                            ? held
                            : adopted(held, adopted.views[place], before, after);
        }
        for (int place = 0; place < sourcePlaces.length; place++) {
            if (sourcePlaces[place] >= 0) {
                adopted.seen[place] = state.seen[sourcePlaces[place]];
                adopted.partitions[place] = state.partitions[sourcePlaces[place]];
            }
        }
        return adopted;
    }

    private static ViewState adopted(
            ViewState held, ViewState state, ViewPlan before, ViewPlan after) {
        state.sequence = held.sequence;
        state.clock = held.clock;
        state.heldFrom = held.heldFrom;
        state.foldedTo = held.foldedTo;
        state.tiledTo = held.tiledTo;
        state.expiredTo = held.expiredTo;
        state.refused = held.refused;
        state.lacking = held.lacking;
        state.lackingKnown = held.lackingKnown;
        state.foldAt = held.foldAt;
        state.raw.adopt(held.raw);
        int[] partials =
                after.partials().stream().mapToInt(partial -> place(partial, before, after)).toArray();
        for (FoldedTile tile : held.folded) {
            Accumulator[] made = Accumulators.of(after);
            for (int i = 0; i < made.length; i++) {
                if (partials[i] >= 0) {
                    List<String> earlier = names(before.partials().get(partials[i]), before);
                    int[] places =
                            names(after.partials().get(i), after).stream()
                                    .mapToInt(earlier::indexOf)
                                    .toArray();
                    made[i].adopt(tile.partials[partials[i]], places);
                }
            }
            state.folded.add(new FoldedTile(tile.first, tile.last, made));
        }
        state.knownFrom = new long[after.features().size()];
        for (int i = 0; i < state.knownFrom.length; i++) {
            state.knownFrom[i] = knownFrom(held, after.features().get(i), before, after);
        }
        return state;
    }

    /**
     * Place of the partial before that keeps at least what the features before need, or -1.
     *
     * <p>One of moments may have got squares since, one of a first or last row more columns.
     */
    private static int place(PartialPlan wanted, ViewPlan before, ViewPlan after) {
        for (int place = 0; place < before.partials().size(); place++) {
            PartialPlan old = before.partials().get(place);
            boolean same =
                    old.kind() == wanted.kind()
                            && old.floating() == wanted.floating()
                            && old.greatest() == wanted.greatest()
                            && old.last() == wanted.last();
            boolean edge = wanted.kind() == PartialPlan.Kind.EDGE;
            if (same && (edge || names(old, before).equals(names(wanted, after)))) {
                return place;
            }
        }
        return -1;
    }

    private static List<String> names(PartialPlan partial, ViewPlan view) {
        List<Integer> places =
                partial.kind() == PartialPlan.Kind.COUNT
                        ? List.of()
                        : partial.kind() == PartialPlan.Kind.EDGE
                                ? partial.columns()
                                : List.of(partial.column());
        return places.stream().map(place -> view.columns().get(place).name()).toList();
    }

    private static long knownFrom(
            ViewState held, FeaturePlan feature, ViewPlan before, ViewPlan after) {
        for (int i = 0; i < before.features().size(); i++) {
            if (sameValue(before.features().get(i), feature)) {
                return held.knownFrom == null ? ViewState.NO_CLOCK : held.knownFrom[i];
            }
        }
        if (held.clock == ViewState.NO_CLOCK) {
            return ViewState.NO_CLOCK;
        }
        PartialPlan partial = after.partials().get(feature.partial());
        boolean columnsHeld =
                names(partial, after).stream()
                        .allMatch(
                                name ->
                                        before.columns().stream()
                                                .anyMatch(column -> column.name().equals(name)));
        return columnsHeld && held.folded.isEmpty() && held.foldedTo == ViewState.NO_CLOCK
                ? held.heldFrom
                : held.clock + 1;
    }

    private static boolean sameValue(FeaturePlan old, FeaturePlan now) {
        return old.name().equals(now.name())
                && old.kind() == now.kind()
                && old.window().equals(now.window())
                && old.excludeCurrent() == now.excludeCurrent()
                && Objects.equals(old.defaultValue(), now.defaultValue())
                && old.qNumerator() == now.qNumerator()
                && old.qDenominator() == now.qDenominator();
    }
}
