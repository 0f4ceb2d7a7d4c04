"""A Keras network as a graph, and exact changes of it.

::

    graph         nodes and their arithmetic     reader     from a Keras model
    lowering      the exact rewrite              heatmap    Grad-CAM in closed form
    gradient      what it must equal
"""
