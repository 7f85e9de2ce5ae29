import a_package_that_nobody_has

NODE_CLASS_MAPPINGS = {}
