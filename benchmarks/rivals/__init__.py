"""The same work in other Python stream processors, each as its documentation teaches it."""
