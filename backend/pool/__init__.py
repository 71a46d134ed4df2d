"""Many model servers as one: who may generate where, who is well, which model is loaded.

The life of a fact. A spec (`core.instances`) says what an instance is; the `registry` holds all of them.
The `prober` looks at an instance, and what it says and how fast it answers becomes its `Report`; what
fails there becomes its `Health`, or a `Bar` for one model; what the `loader` does there is its
`Loading`. Each is written into the `shared_notes` at once, in the form that `note_forms` gives it, so
that every process of the pool reads it within half a second. The `knowledge` of a process is what it
read last; put together it is what is `Observed` of an instance. From that follows its `Capacity`: how
many slots may be given out there, and for which models. The `publisher` tells it to the `slots`, which
take requests in (admission), seat them or queue them, and are seen as a `Snapshot`. What an operator is
shown, the `status`, is made of both when it is asked for.

The `controller` makes the rounds in which this happens; `dispatch` takes a request through slots and
instances; `fallback` is what a process does while the store that it shares with others is away. The
other modules are pure rules: `capacity`, `health`, `barred`, `placement` over a `cluster`, `preference`,
`names`, `model_list`, `contexts`, `gaps`, `retries`, and `eta` with its `calibration`.
"""
